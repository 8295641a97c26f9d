"""What benchmarks/gpu.sh runs: each part adds rows to one JSON, which is written anew after every
part."""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

import click
import torch
from torch import Tensor

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks.network import MIB, Bench, compare, full_step, machine, table  # noqa: E402
from model.network.warp import warp, warp_plain  # noqa: E402

DTYPES = (torch.float32, torch.bfloat16, torch.float16)


def warp_inputs(
    device: str, dtype: torch.dtype, channels: int, size: tuple[int, int], flows: int = 6
) -> list[Tensor]:
    """Features, grids a few pixels from the identity, and weights; with gradients."""
    torch.manual_seed(0)
    y, x = torch.meshgrid(*(torch.linspace(-1, 1, n, device=device) for n in size), indexing="ij")
    grids = torch.stack((x, y))[None, None] + 0.05 * torch.randn(1, flows, 2, *size, device=device)
    weights = torch.randn(1, flows, *size, device=device).softmax(1)
    features = (
        torch.randn(1, channels, *size, device=device)
        .to(dtype)
        .contiguous(memory_format=torch.channels_last)
    )
    return [t.detach().requires_grad_() for t in (features, grids, weights)]


def worst(found: Tensor, expected: Tensor) -> float:
    return ((found.double() - expected.double()).norm() / expected.double().norm()).item()


def correctness(device: str, quick: bool) -> list[dict]:
    """Relative error of the warp and its gradients in every dtype, against the formula in
    float64."""
    rows = []
    channels, size = (8, (16, 12)) if quick else (256, (96, 72))
    for method in ("auto", "sparse"):
        for dtype in DTYPES:
            inputs = warp_inputs(device, dtype, channels, size)
            exact = [x.detach().double().requires_grad_() for x in inputs]
            found, expected = warp(*inputs, method), warp_plain(*exact)
            toward = torch.randn_like(expected).to(dtype)
            grads = (
                torch.autograd.grad(found, inputs, toward),
                torch.autograd.grad(expected, exact, toward.double()),
            )
            errors = [worst(a, b) for a, b in zip(*grads)]
            names = ("features", "grids", "weights")
            row = {
                "part": "warp error",
                "form": method,
                "dtype": str(dtype)[6:],
                "result": worst(found, expected),
            }
            rows.append(row | dict(zip(names, errors)))
    torch.use_deterministic_algorithms(True, warn_only=True)
    inputs = warp_inputs(device, torch.float32, channels, size)
    twice = [torch.autograd.grad(warp(*inputs).square().sum(), inputs) for _ in range(2)]
    same = all(torch.equal(a, b) for a, b in zip(*twice))
    torch.use_deterministic_algorithms(False)
    return [*rows, {"part": "deterministic", "form": "auto", "same_bits": same}]


def warp_times(device: str, quick: bool, repeat: int) -> list[dict]:
    """The warp alone at the finest level of 512 x 384, forward and with its backward."""
    rows = []
    channels, size = (16, (32, 24)) if quick else (256, (256, 192))
    for dtype in DTYPES[:2]:

        def run(inputs, method, backward):
            if not backward:
                with torch.no_grad():
                    return warp(*inputs, method)
            return warp(*inputs, method).sum().backward()

        inputs = warp_inputs(device, dtype, channels, size)
        for backward in (False, True):
            runs = {
                m: lambda m=m, b=backward, x=inputs: run(x, m, b)
                for m in ("plain", "sparse", "auto")
            }
            for name, taken in compare(runs, device, repeat).items():
                what = "forward + backward" if backward else "forward"
                rows.append(
                    {
                        "part": "warp " + what,
                        "form": name,
                        "dtype": str(dtype)[6:],
                        "ms": taken * 1e3,
                    }
                )
    return rows


def networks(device: str, quick: bool, repeat: int, deadline: float) -> list[dict]:
    """People per second and memory in training and inference, by batch, form and dtype."""
    rows: list[dict] = []
    size, preset = ((64, 64), "small") if quick else ((512, 384), "full")
    for batch in (1, 2) if quick else (1, 4, 16):
        for form, half in (
            ("plain", None),
            ("plain", torch.bfloat16),
            ("lean", None),
            ("lean", torch.bfloat16),
        ):
            for what in ("infer", "train"):
                if time.monotonic() > deadline:
                    return rows
                row = {
                    "part": what,
                    "form": form,
                    "dtype": "bfloat16" if half else "float32",
                    "batch": batch,
                }
                rows.append(
                    row | one_network(form, half, what, size, batch, device, preset, repeat)
                )
    return rows


def one_network(
    form, half, what: str, size, batch: int, device: str, preset: str, repeat: int
) -> dict:
    """Time, people per second and peak memory of one variant; the reason where it fails."""
    try:
        bench = Bench(form, size, batch, device, preset)
        if device == "cuda":
            torch.cuda.reset_peak_memory_stats()
        taken = compare({what: lambda: getattr(bench, what)(half)}, device, repeat)[what]
    except torch.cuda.OutOfMemoryError:
        return {"failed": "out of memory"}
    memory = {"peak_mib": torch.cuda.max_memory_allocated() / MIB} if device == "cuda" else {}
    return {"ms": taken * 1e3, "people_per_s": batch / taken} | memory


def full_steps(device: str, quick: bool) -> list[dict]:
    """Memory of whole fine-tuning steps: every term of the loss, and AdamW."""
    cases = [((64, 64), 1)] if quick else [((512, 384), 1), ((512, 384), 8), ((1024, 768), 2)]
    rows = []
    for size, batch in cases:
        for half in (None, torch.bfloat16):
            if device == "cuda":
                torch.cuda.empty_cache()
                torch.cuda.reset_peak_memory_stats()
            bench = Bench("lean", size, batch, device, "small" if quick else "full")
            full_step(bench, half)
            row = {"part": "fits", "size": f"{size[0]}x{size[1]}", "batch": batch}
            row["dtype"] = "bfloat16" if half else "float32"
            rows.append(
                row
                | (
                    {"peak_mib": torch.cuda.max_memory_allocated() / MIB}
                    if device == "cuda"
                    else {}
                )
            )
    return rows


def extras(device: str, quick: bool, repeat: int) -> list[dict]:
    """Inference by a CUDA graph and by torch.compile, beside the plain call; a failure is a row,
    not an end."""
    size, preset = ((64, 64), "small") if quick else ((512, 384), "full")
    bench = Bench("lean", size, 1, device, preset)
    half = torch.bfloat16
    rows = []
    ways = {
        "eager": lambda: bench.infer,
        "graph": lambda: graphed(bench),
        "compile": lambda: compiled(bench),
    }
    for name, make in ways.items():
        row = {"part": "inference by", "form": name, "dtype": "bfloat16", "batch": 1}
        try:
            run = make()
            rows.append(
                row | {"ms": compare({name: lambda r=run: r(half)}, device, repeat)[name] * 1e3}
            )
        except Exception as error:  # noqa: BLE001 - whatever a compiler or a capture raises
            rows.append(
                row | {"failed": f"{type(error).__name__}: {str(error).splitlines()[0][:120]}"}
            )
    return rows


def graphed(bench: Bench):
    """Inference captured once and replayed."""
    if bench.device != "cuda":
        raise RuntimeError("CUDA graphs need CUDA")
    for _ in range(3):
        bench.infer(torch.bfloat16)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        bench.infer(torch.bfloat16)
    return lambda half: graph.replay()


def compiled(bench: Bench):
    """Inference through torch.compile."""
    if bench.device != "cuda":
        raise RuntimeError("left out on a CPU")
    bench.network = torch.compile(bench.network)
    return bench.infer


def profile(device: str, quick: bool) -> list[dict]:
    """The dearest operations of a lean bf16 train step."""
    from torch.profiler import ProfilerActivity
    from torch.profiler import profile as record

    size, preset = ((64, 64), "small") if quick else ((512, 384), "full")
    bench = Bench("lean", size, 1, device, preset)
    bench.train(torch.bfloat16)
    kinds = [ProfilerActivity.CPU] + [ProfilerActivity.CUDA] * (device == "cuda")
    with record(activities=kinds) as recorded:
        bench.train(torch.bfloat16)
    of = "self_device_time_total" if device == "cuda" else "self_cpu_time_total"
    events = sorted(recorded.key_averages(), key=lambda e: -getattr(e, of))[:15]
    return [
        {"part": "profile", "form": e.key[:60], "calls": e.count, "ms": getattr(e, of) / 1e3}
        for e in events
    ]


@click.command()
@click.option("--device", type=click.Choice(["cpu", "cuda"]), default="cuda", show_default=True)
@click.option(
    "--quick", is_flag=True, help="Tiny sizes: shows that every part runs, measures nothing of use."
)
@click.option(
    "--out",
    type=click.Path(path_type=Path, file_okay=False),
    default="gpu-results",
    show_default=True,
)
@click.option(
    "--minutes", default=6.5, show_default=True, help="No new network is timed after this."
)
def main(device: str, quick: bool, out: Path, minutes: float) -> None:
    """Measure the network on a GPU and write OUT/gpu.json and OUT/gpu.md."""
    deadline, repeat = time.monotonic() + minutes * 60, 1 if quick else 5
    torch.backends.cudnn.benchmark = True
    out.mkdir(parents=True, exist_ok=True)
    rows: list[dict] = []
    parts = {
        "correctness": lambda: correctness(device, quick),
        "warp": lambda: warp_times(device, quick, repeat),
        "fits": lambda: full_steps(device, quick),
        "profile": lambda: profile(device, quick),
        "extras": lambda: extras(device, quick, repeat),
        "networks": lambda: networks(device, quick, repeat, deadline),
    }
    for name, part in parts.items():
        start = time.monotonic()
        try:
            rows += part()
        except Exception as error:  # noqa: BLE001 - the other parts are still worth having
            rows.append({"part": name, "failed": f"{type(error).__name__}: {error}"[:300]})
        click.echo(f"{name}: {time.monotonic() - start:.1f} s", err=True)
        (out / "gpu.json").write_text(
            json.dumps({"machine": machine(device), "rows": rows}, indent=1) + "\n"
        )
    text = "\n\n".join(
        table([r for r in rows if r["part"] == p]) for p in dict.fromkeys(r["part"] for r in rows)
    )
    (out / "gpu.md").write_text(text + "\n")
    click.echo(text)


if __name__ == "__main__":
    main()
