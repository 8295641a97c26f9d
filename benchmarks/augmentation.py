"""Does training on changed people help with people who are photographed otherwise?

    python benchmarks/augmentation.py OUT [--shards FOLDER] [--way none --way all] [--epochs N]

Fine-tunes small networks from the upper-body weights that come with the program to all three
categories, with the same steps and seed, each with another change of the training people (WAYS),
and measures them on unseen people, as they are and disturbed (``evaluate --disturbed``): L1,
likeness and SSIM inside the mask. Makes a synthetic dataset, or takes FOLDER/train and
FOLDER/test_paired. OUT keeps the runs and results.json; ways that are there are not trained again.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from benchmarks.learns import RECIPE, make_shards  # noqa: E402
from model.training.config import TrainConfig  # noqa: E402
from pipeline.base.storage import read_json, write_json  # noqa: E402

WAYS: dict[str, dict] = {
    "none": {},
    "backgrounds": {"backgrounds": 0.5},
    "angles": {"angles": 0.5},
    "noise": {"noise": 0.3},
    "all": {"backgrounds": 0.5, "angles": 0.5, "noise": 0.3},
}
FIGURES = ("l1_inside", "likeness_inside", "ssim_inside")
CLEAN = "as they are"


def trained(way: str, shards: Path, out: Path, options: dict) -> Path:
    """The folder of a finished run with the changes of a way."""
    from model.network.own import own_weights
    from model.training.train import train

    run = out / way
    if not (run / "summary.json").exists():
        config = TrainConfig(**RECIPE | {"statistics": "recalibrate"} | options | WAYS[way])
        say = lambda text: print(f"{way}: {text}", file=sys.stderr, flush=True)
        train(
            [shards / "train"],
            run,
            config,
            init=own_weights("drawn-upper"),
            resume=(run / "last.pt").exists(),
            device="cpu",
            note=say,
        )
    return run


def measured(run: Path, shards: Path, tests: int) -> dict[str, dict[str, float]]:
    """{how unseen people are photographed: figures over all of them} of a run's last weights."""
    from model.evaluation.disturb import DISTURBANCES
    from model.evaluation.evaluate import evaluate
    from model.tryon.predictor import TryOn

    network, found = TryOn.load(run / "last.pt", "cpu"), {}
    for name, change in {CLEAN: None, **DISTURBANCES}.items():
        told = evaluate(network, [shards / "test_paired"], augmentation=change, limit=tests)
        figures = told.result["metrics"]["paired"]["all"]
        found[name] = {"count": figures["count"]} | {name: figures[name] for name in FIGURES}
    return found


def render(results: dict[str, dict]) -> str:
    """A table for each figure: ways down, disturbances across, and the change against ``none``."""
    lines = []
    for figure in FIGURES:
        heads = list(next(iter(results.values())))
        lines.append(f"\n{figure:14}" + "".join(f"{head:>32}" for head in heads))
        for way, rows in results.items():
            cells = []
            for head in heads:
                value, before = (
                    r[head][figure] if r else None for r in (rows, results.get("none"))
                )
                change = (
                    f" ({100 * (value / before - 1):+.1f} %)" if before and way != "none" else ""
                )
                cells.append(f"{f'{value:.4f}{change}':>32}")
            lines.append(f"{way:14}" + "".join(cells))
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("out", type=Path)
    parser.add_argument("--shards", type=Path, help="folder with train/ and test_paired/")
    parser.add_argument("--way", action="append", choices=list(WAYS), help="[default: all of them]")
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--limit", type=int, default=400, help="people per category to train on")
    parser.add_argument("--tests", type=int, default=60, help="people per category to test on")
    parser.add_argument("--threads", type=int, default=2)
    args = parser.parse_args()

    import torch

    torch.set_num_threads(args.threads)
    shards = args.shards or make_shards(args.out, args.limit, args.tests, (128, 96))
    options = {"epochs": args.epochs, "limit": args.limit, "pictures": 0}
    for way in args.way or WAYS:
        run = trained(way, shards, args.out, options)
        write_json(run / "disturbed.json", measured(run, shards, args.tests))
    done = [way for way in WAYS if (args.out / way / "disturbed.json").exists()]
    results = {way: read_json(args.out / way / "disturbed.json", "Run it again") for way in done}
    write_json(args.out / "results.json", results)
    print(render(results))


if __name__ == "__main__":
    main()
