"""What benchmarks/gpu.sh runs: each part adds rows to one JSON, which is written anew after every
part."""

from __future__ import annotations

import json
import os
import sys
import tempfile
import time
from dataclasses import replace
from functools import cache
from pathlib import Path

import click
import torch
from torch import Tensor

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks.network import MIB, Bench, compare, machine, table  # noqa: E402
from model.loss.losses import PerceptualNetworks  # noqa: E402
from model.network.config import NetworkConfig  # noqa: E402
from model.network.warp import warp, warp_plain  # noqa: E402
from model.training.config import TrainConfig  # noqa: E402
from model.training.fits import what_fits  # noqa: E402
from model.training.processes import Processes  # noqa: E402
from model.training.setup import Data, build_network, build_setting, resolved  # noqa: E402

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
    size, preset = ((64, 64) if quick else (512, 384)), "full"  # the plain form has no other
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


def drawn_shards(folder: Path, quick: bool) -> Path:
    """Shards of drawn people, with flows, at the size that is measured."""
    from pipeline.preprocess.run import preprocess
    from pipeline.sample import make_sample

    data, shards, jobs = folder / "data", folder / "shards", os.cpu_count() or 1
    size = (128, 96) if quick else (512, 384)
    make_sample(data, 2 if quick else 48, size, seed=1, jobs=jobs, test_pairs=1, flows=True)
    preprocess(data, shards, size_hw=size, flows=True, jobs=jobs, max_skips=9)
    return shards


def train_config(precision: str, quick: bool, **changes) -> TrainConfig:
    workers = 0 if quick else 8
    return TrainConfig(precision=precision, workers=workers, mask_style="mix", **changes)


def training(device: str, quick: bool, shards: Path) -> list[dict]:
    """Steps of ``train`` itself: data, loss with every term (its weights are random, which costs
    the same), optimiser, average. Time, people a second and memory by batch and number format."""
    rows = []
    for precision in ("fp32", "bf16"):
        config = resolved(train_config(precision, quick), None, None, NetworkConfig())
        data = Data.open([shards], config)
        processes = Processes.join(device)
        network = build_network(NetworkConfig.preset("small" if quick else "full"), None)
        setting = build_setting(config, data, network, processes.device, PerceptualNetworks())
        for fit in what_fits(setting, data, processes, (1, 2) if quick else (1, 4, 8, 16)):
            row = {"part": "training", "form": "train", "dtype": precision, "batch": fit.batch}
            taken = {"ms": fit.seconds * 1e3, "people_per_s": fit.batch / fit.seconds}
            rows.append(row | taken | {"peak_mib": fit.peak / MIB, "fits": fit.fits})
        processes.leave()
    return rows


def real_run(device: str, quick: bool, shards: Path, minutes: float) -> list[dict]:
    """A run of ``train`` for some minutes: what its log says of speed, and whether it learns."""
    from model.training.train import train

    run = shards.parent / "run"
    many = 2 if quick else 10_000
    config = train_config("auto", quick, batch_size=2 if quick else 8, epochs=many, lr=1e-3)
    config = replace(config, max_minutes=minutes, clip=1.0, ema=0.995, pictures=1)
    shape = NetworkConfig.preset("small")
    begun = time.monotonic()
    summary = train([shards], run, config, network=shape, device=device, note=lambda _: None)
    log = [json.loads(line) for line in (run / "log.jsonl").read_text().splitlines()]
    looks = [entry for entry in log if entry.get("event") == "epoch"]
    steps = max(entry.get("step", 0) for entry in log)
    figures = {
        f"{name}_{when}": entry.get(name)
        for name in ("l1_inside", "ssim_inside")
        for when, entry in (("before", looks[0]), ("after", looks[-1]))
    }
    row = {"part": "run", "form": "train small", "steps": steps, "text": summary["text"]}
    return [row | {"s": time.monotonic() - begun} | figures]


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
    "--minutes", default=6.0, show_default=True, help="No new network is timed after this."
)
@click.option(
    "--train-minutes", default=5.0, show_default=True, help="Length of the real run after it."
)
def main(device: str, quick: bool, out: Path, minutes: float, train_minutes: float) -> None:
    """Measure the network on a GPU and write OUT/gpu.json and OUT/gpu.md."""
    deadline, repeat = time.monotonic() + minutes * 60, 1 if quick else 5
    torch.backends.cudnn.benchmark = True
    out.mkdir(parents=True, exist_ok=True)
    rows: list[dict] = []
    shards = cache(lambda: drawn_shards(Path(tempfile.mkdtemp(prefix="gpu_")), quick))
    parts = {
        "correctness": lambda: correctness(device, quick),
        "warp": lambda: warp_times(device, quick, repeat),
        "training": lambda: training(device, quick, shards()),
        "profile": lambda: profile(device, quick),
        "extras": lambda: extras(device, quick, repeat),
        "networks": lambda: networks(device, quick, repeat, deadline),
        "run": lambda: real_run(device, quick, shards(), train_minutes),
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
