"""How far do the reference values determine the network? What last bits of float64 weights move,
beside the file.

    python benchmarks/last_bits.py [--draws 3] [--json FILE]

Runs the plain form of the network (`plain_daflow.py`) in float64 on the reference weights and
images, in eval and train mode, and again with every weight moved up or down by one unit in its last
place, at random. Prints for each level the largest difference from the reference file and from the
unmoved run, and the same for gradient norms, as the median over parameters of |log10 ratio|. Where
the two are alike, no implementation can agree better than by accident.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

import numpy as np
import torch

sys.path.insert(0, str(Path(__file__).parents[1]))

from benchmarks.plain_daflow import PlainDAFlow  # noqa: E402
from tests.test_daflow import GOLDEN, filled, images, total_loss  # noqa: E402


def measure(mode: str, draw: int | None) -> tuple[list[np.ndarray], np.ndarray | None]:
    """Five levels, and in train mode the gradient norm of each parameter; `draw` chooses the last
    bits, None keeps."""
    network = filled(PlainDAFlow()).train(mode == "train")
    if draw is not None:
        generator = torch.Generator().manual_seed(draw)
        with torch.no_grad():
            for weight in network.parameters():
                up = torch.rand(weight.shape, generator=generator) < 0.5
                limit = torch.where(up, torch.inf, -torch.inf).to(weight.dtype)
                weight.copy_(torch.nextafter(weight, limit))
    inputs, person = images()
    with torch.set_grad_enabled(mode == "train"):
        levels = network(*inputs, return_levels=True)[1]
    norms = None
    if mode == "train":
        total_loss(levels, person).backward()
        norms = np.array([weight.grad.norm().item() for weight in network.parameters()])
    return [level.detach().numpy() for level in levels], norms


def compare(levels, norms, expected, expected_norms) -> dict:
    """Largest difference per level, and the median |log10 ratio| of gradient norms (train mode)."""
    row = {
        f"level{i}": float(np.abs(a - b).max())
        for i, (a, b) in enumerate(zip(levels, expected, strict=True))
    }
    if norms is not None:
        row["norms"] = float(np.median(np.abs(np.log10(norms / expected_norms))))
    return row


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--draws", type=int, default=3)
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    reference, rows = np.load(GOLDEN / "daflow_128x96.npz"), []
    columns = [f"level{i}" for i in range(5)] + ["norms"]
    print(
        "| mode | difference from | " + " | ".join(columns) + " |",
        "|---|---|" + "---|" * 6,
        sep="\n",
        flush=True,
    )
    for mode in ("eval", "train"):
        unmoved = measure(mode, None)
        file = [reference[f"{mode}/level{i}"] for i in range(5)]
        found = {"the reference file": compare(*unmoved, file, reference["grad/norms"])}
        for draw in range(args.draws):
            found[f"itself, last bits moved ({draw})"] = compare(*measure(mode, draw), *unmoved)
        for name, row in found.items():
            rows.append({"mode": mode, "from": name, **row})
            cells = " | ".join(f"{row[c]:.1e}" if c in row else "" for c in columns)
            print(f"| {mode} | {name} | {cells} |", flush=True)
    if args.json:
        args.json.write_text(json.dumps(rows, indent=1))


if __name__ == "__main__":
    main()
