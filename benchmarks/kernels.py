"""Triton's kernels of the warp, compiled ahead for cards that need not be there: registers a
thread, bytes that spill, shared memory.

    python benchmarks/kernels.py

Needs Triton, whose package brings ptxas; no GPU.
"""

from __future__ import annotations

import re
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import NamedTuple

sys.path.insert(0, str(Path(__file__).parents[1]))

CARDS = {75: "Turing (RTX 2080, T4)", 86: "Ampere (RTX 3080)", 90: "Hopper (H100)"}
KERNELS = ("forward", "backward", "backward, places alone")
POINTERS = {
    "forward": ("features", "grids", "weights", "out"),
    "backward": (
        "gradient",
        "features",
        "grids",
        "weights",
        "by_features",
        "by_grids",
        "by_weights",
    ),
}
NARROW = {"gradient", "features", "out"}
SIZES = ("pixels", "area", "batch", "height", "width", "T", "per_image", "C")
EVEN = {"pixels", "area", "height", "width", "C"}


class Compiled(NamedTuple):
    """Of one kernel: registers a thread, bytes that are spilt, bytes of shared memory a block."""

    registers: int
    spilt: int
    shared: int


def compiled(kernel: str, card: int, dtype: str, even: bool) -> Compiled:
    """One kernel as the network launches it.

    Args:
        kernel: of ``KERNELS``.
        card: compute capability times ten.
        dtype: of the features: "fp32", "fp16" or "bf16".
        even: sizes are multiples of 16, which Triton makes use of.
    """
    import triton
    from triton.backends.compiler import GPUTarget
    from triton.compiler import ASTSource

    from model.network import warp_triton as warp

    form = kernel.split(",")[0]
    function = warp._forward_kernel if form == "forward" else warp._backward_kernel
    signature = {n: "*" + (dtype if n in NARROW else "fp32") for n in POINTERS[form]}
    signature |= dict.fromkeys(SIZES, "i32")
    constants = {"PIXELS": warp.PIXELS, "CHANNELS": warp.CHANNELS}
    if form == "backward":
        constants["SCATTER"] = kernel == "backward"
    signature |= dict.fromkeys(constants, "constexpr")
    names = list(signature)
    aligned = {*POINTERS[form], *(EVEN if even else ())}
    marks = {(names.index(n),): [["tt.divisibility", 16]] for n in names if n in aligned}
    values = {(names.index(n),): value for n, value in constants.items()}
    found = triton.compile(
        ASTSource(function, signature, values, marks),
        target=GPUTarget("cuda", card, 32),
        options={"num_warps": warp.WARPS},
    )
    told = _assembled(found.asm["ptx"], Path(triton.__file__).parent / "backends/nvidia/bin/ptxas")
    registers = int(re.search(r"Used (\d+) registers", told)[1])  # type: ignore[index]
    spilt = int(re.search(r"(\d+) bytes spill stores", told)[1])  # type: ignore[index]
    return Compiled(registers, spilt, found.metadata.shared)


def _assembled(code: str, ptxas: Path) -> str:
    """What the assembler says of a kernel."""
    with tempfile.NamedTemporaryFile("w", suffix=".ptx") as file:
        file.write(code)
        file.flush()
        card = re.search(r"\.target (sm_\w+)", code)[1]  # type: ignore[index]
        words = [str(ptxas), "-v", f"--gpu-name={card}", file.name, "-o", "/dev/null"]
        return subprocess.run(words, capture_output=True, text=True, check=True).stderr


def main() -> None:
    print("| card | kernel | features | sizes | registers | spilt bytes | shared bytes |")
    print("|---|---|---|---|---|---|---|")
    for card, name in CARDS.items():
        for kernel in KERNELS:
            for dtype in ("fp32", "fp16" if card == 75 else "bf16"):
                for even in (True, False):
                    found = compiled(kernel, card, dtype, even)
                    sizes = "multiples of 16" if even else "any"
                    row = (f"sm_{card}, {name}", kernel, dtype, sizes, *map(str, found))
                    print("| " + " | ".join(row) + " |", flush=True)


if __name__ == "__main__":
    main()
