"""Time and memory of DAFlow against its plain form (benchmarks/plain_daflow.py), in one run.

    python benchmarks/network.py --size 256x192 --size 512x384 --bf16 --json network.json
    python benchmarks/network.py --size 512x384 --size 1024x768 --batch 1 --batch 2 --fits

Times are medians over interleaved runs: CPU time of all threads on a CPU, which a busy machine does
    not stretch, and
elapsed time on CUDA. "Kept" is what saved tensors hold after the forward pass, parameters aside.
"Peak" is the most
memory that a process with one train step needs: resident memory on a CPU, allocated memory on CUDA.
"""

from __future__ import annotations

import json
import platform
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import click
import torch
from torch import Tensor, nn

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks.plain_daflow import PlainDAFlow  # noqa: E402
from commands.options import SizeType  # noqa: E402
from model.loss.losses import PerceptualNetworks, TryOnLoss  # noqa: E402
from model.network.config import PRESETS, NetworkConfig  # noqa: E402
from model.network.daflow import DAFlow  # noqa: E402
from model.training.malloc import return_large_maps  # noqa: E402

FORMS = {"plain": PlainDAFlow, "lean": DAFlow}
MIB = 2**20


class Bench:
    """One form of the network with inputs of one size, ready to run."""

    def __init__(
        self, form: str, size_hw: tuple[int, int], batch: int, device: str, preset: str = "full"
    ):
        torch.manual_seed(0)
        self.network = FORMS[form](NetworkConfig.preset(preset)).to(device)
        self.images = [torch.rand(batch, c, *size_hw, device=device) * 2 - 1 for c in (6, 3, 3)]
        self.target, self.device = torch.rand(batch, 3, *size_hw, device=device) * 2 - 1, device

    def autocast(self, half: torch.dtype | None):
        return torch.autocast(self.device, half, enabled=half is not None)

    def infer(self, half: torch.dtype | None = None) -> Tensor:
        self.network.eval()
        with torch.inference_mode(), self.autocast(half):
            return self.network(*self.images)

    def loss(self, half: torch.dtype | None = None) -> Tensor:
        """L1 over the levels: the network's own share of a train step."""
        self.network.train()
        with self.autocast(half):
            _, levels = self.network(*self.images, return_levels=True)
        factors = [self.target.shape[-1] // level.shape[-1] for level in levels]
        targets = [nn.functional.avg_pool2d(self.target, f) for f in factors]
        return sum(
            (i + 1) * (a.float() - b).abs().mean() for i, (a, b) in enumerate(zip(levels, targets))
        )

    def train(self, half: torch.dtype | None = None) -> None:
        self.loss(half).backward()
        self.network.zero_grad(set_to_none=True)

    def kept(self, half: torch.dtype | None = None) -> float:
        """MiB that saved tensors hold after the forward pass of training."""
        own = {
            p.untyped_storage().data_ptr()
            for p in [*self.network.parameters(), *self.network.buffers()]
        }
        held: dict[int, int] = {}

        def note(x: Tensor) -> Tensor:
            storage = x.untyped_storage()
            if storage.data_ptr() not in own:
                held[storage.data_ptr()] = storage.nbytes()
            return x

        with torch.autograd.graph.saved_tensors_hooks(note, lambda x: x):
            self.loss(half)
        return sum(held.values()) / MIB


def seconds(run: Callable[[], object], device: str) -> float:
    """Time of one run: of all CPU threads, or elapsed on CUDA."""
    if device == "cpu":
        start = time.process_time()
        run()
        return time.process_time() - start
    torch.cuda.synchronize()
    start = time.perf_counter()
    run()
    torch.cuda.synchronize()
    return time.perf_counter() - start


def compare(runs: dict[str, Callable[[], object]], device: str, repeat: int) -> dict[str, float]:
    """Median time of each run in seconds, taken in turns after one warm-up each."""
    for run in runs.values():
        run()
    taken: dict[str, list[float]] = {name: [] for name in runs}
    for _ in range(repeat):
        for name, run in runs.items():
            taken[name].append(seconds(run, device))
    return {name: statistics.median(values) for name, values in taken.items()}


def probe(
    form: str, size_hw: tuple, batch: int, device: str, half: bool, full_loss: bool, preset: str
) -> float:
    """Peak MiB of a fresh process with one train step; its AdamW and perceptual terms too, where
    asked for."""
    size = f"{size_hw[0]}x{size_hw[1]}"
    command = [
        sys.executable,
        __file__,
        "--probe",
        form,
        "--size",
        size,
        "--batch",
        str(batch),
        "--device",
        device,
    ]
    command += ["--preset", preset, *(["--bf16"] * half), *(["--fits"] * full_loss)]
    done = subprocess.run(command, capture_output=True, text=True)
    return float(done.stdout.split()[-1]) if done.returncode == 0 else float("nan")


def run_probe(
    form: str, size_hw: tuple, batch: int, device: str, half: bool, full: bool, preset: str
) -> None:
    """One train step in this process; prints its peak memory."""
    bench = Bench(form, size_hw, batch, device, preset)
    dtype = torch.bfloat16 if half else None
    if full:
        full_step(bench, dtype)
    else:
        bench.train(dtype)
    print(torch.cuda.max_memory_allocated() / MIB if device == "cuda" else peak_resident())


def peak_resident() -> float:
    """Most MiB that this process held. Not ru_maxrss where it can be helped: a child inherits its
    parent's."""
    status = Path("/proc/self/status")
    if status.exists():
        return int(status.read_text().split("VmHWM:")[1].split()[0]) / 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def full_step(bench: Bench, half: torch.dtype | None) -> None:
    """A whole step of fine-tuning: all terms of the loss (weights are random, which costs the same)
    and AdamW."""
    loss = TryOnLoss(PerceptualNetworks().to(bench.device))
    optimizer = torch.optim.AdamW(bench.network.parameters(), lr=5e-5)
    bench.network.train()
    for _ in range(2):  # the optimiser's state is there from the second step on
        with bench.autocast(half):
            _, levels = bench.network(*bench.images, return_levels=True)
            loss.backward_through(levels, bench.target)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        del levels


def measure(
    size_hw, batch: int, device: str, repeat: int, half: bool, preset: str, memory: bool
) -> list[dict]:
    """Rows of one size and batch: forward and train, float32 and, where wanted, the lean form in
    bf16."""
    benches = {form: Bench(form, size_hw, batch, device, preset) for form in FORMS}
    variants = {"plain": (benches["plain"], None), "lean": (benches["lean"], None)}
    if half:
        variants["lean bf16"] = (benches["lean"], torch.bfloat16)
    times = {
        what: compare(
            {n: lambda b=b, d=d, w=what: getattr(b, w)(d) for n, (b, d) in variants.items()},
            device,
            repeat,
        )
        for what in ("infer", "train")
    }
    rows = []
    for name, (bench, dtype) in variants.items():
        row = {
            "size": f"{size_hw[0]}x{size_hw[1]}",
            "batch": batch,
            "form": name,
            "kept_mib": bench.kept(dtype),
        }
        for what, taken in times.items():
            row |= {f"{what}_s": taken[name], f"{what}_ratio": taken["plain"] / taken[name]}
        rows.append(row)
    del benches, variants, bench
    for row in rows if memory else []:
        form = row["form"].split()[0]
        row["peak_mib"] = probe(form, size_hw, batch, device, "bf16" in row["form"], False, preset)
    return rows


def table(rows: list[dict]) -> str:
    """Rows as a Markdown table."""
    names = list(dict.fromkeys(name for row in rows for name in row))
    lines = ["| " + " | ".join(names) + " |", "|" + "---|" * len(names)]
    for row in rows:
        cells = [row.get(n, "") for n in names]
        texts = [
            (f"{c:,.0f}" if c >= 100 else f"{c:.3g}") if isinstance(c, float) else str(c)
            for c in cells
        ]
        lines.append("| " + " | ".join(texts) + " |")
    return "\n".join(lines)


def machine(device: str) -> dict:
    """What the figures were measured on."""
    name = torch.cuda.get_device_name() if device == "cuda" else _processor()
    versions = {"torch": torch.__version__, "python": platform.python_version()}
    return {"device": name, "threads": torch.get_num_threads(), **versions}


def _processor() -> str:
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    return next(
        (x.split(":")[1].strip() for x in lines if x.startswith("model name")), platform.processor()
    )


@click.command()
@click.option(
    "--size", "sizes", type=SizeType(32), multiple=True, default=["256x192"], show_default=True
)
@click.option("--batch", "batches", type=int, multiple=True, default=[1], show_default=True)
@click.option("--device", type=click.Choice(["cpu", "cuda"]), default="cpu", show_default=True)
@click.option("--preset", type=click.Choice(list(PRESETS)), default="full", show_default=True)
@click.option("--repeat", default=3, show_default=True, help="Timed runs of each form.")
@click.option("--threads", default=2, show_default=True)
@click.option("--bf16", is_flag=True, help="The lean form under bf16 autocast, too.")
@click.option(
    "--memory/--no-memory",
    default=True,
    show_default=True,
    help="Peak memory, in a process for each row.",
)
@click.option(
    "--fits",
    is_flag=True,
    help="Only the peak memory of whole fine-tuning steps, lean form, both dtypes.",
)
@click.option(
    "--json", "json_path", type=click.Path(path_type=Path), help="Write the rows here, too."
)
@click.option("--probe", "probed", type=click.Choice(list(FORMS)), hidden=True)
def main(
    sizes, batches, device, preset, repeat, threads, bf16, memory, fits, json_path, probed
) -> None:
    """Compare DAFlow with its plain form."""
    torch.set_num_threads(threads)
    if device == "cpu":
        return_large_maps()  # as the trainer does
    if probed:
        return run_probe(probed, sizes[0], batches[0], device, bf16, fits, preset)
    rows = []
    for size in sizes:
        for batch in batches:
            if fits:
                rows += [
                    {
                        "size": f"{size[0]}x{size[1]}",
                        "batch": batch,
                        "dtype": "bf16" if half else "float32",
                        "peak_mib": probe("lean", size, batch, device, half, True, preset),
                    }
                    for half in (False, True)
                ]
            else:
                rows += measure(size, batch, device, repeat, bf16, preset, memory)
            click.echo(f"{size[0]}x{size[1]} batch {batch} done", err=True)
            if json_path:
                json_path.write_text(
                    json.dumps({"machine": machine(device), "rows": rows}, indent=1) + "\n"
                )
    click.echo(table(rows))


if __name__ == "__main__":
    main()
