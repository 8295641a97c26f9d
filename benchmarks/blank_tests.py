"""Why networks that "train fine" test blank: the gap between training and evaluation mode, epoch by
epoch.

    python benchmarks/blank_tests.py OUT --shards FOLDER [--epochs N] [--limit N]

Trains the small network with batch 1 on the shards' train split, once for each way of treating
batch statistics, from scratch and from weights that were trained on upper bodies with batch 4, and
writes OUT/blank_tests.png and .json: L1 on the same held-out pairs with the batch's own statistics
(as in training) and with the running ones (as in a test).
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from benchmarks.learns import RECIPE  # noqa: E402
from model.training.config import TrainConfig  # noqa: E402

FIRST = ("first", 4, 2e-3, "recalibrate", False)
RUNS = {  # title: (name, batch, rate, statistics, from the first run's weights)
    "from scratch, running statistics as they come": ("scratch-batch", 1, 1e-3, "batch", False),
    "from scratch, measured again each epoch": (
        "scratch-recalibrate",
        1,
        1e-3,
        "recalibrate",
        False,
    ),
    "from scratch, measured once, then frozen": (
        "scratch-calibrated",
        1,
        1e-3,
        "calibrated",
        False,
    ),
    "fine-tuned, running statistics as they come": ("tune-batch", 1, 5e-4, "batch", True),
    "fine-tuned, frozen": ("tune-frozen", 1, 5e-4, "frozen", True),
}


def run_one(
    out: Path, shards: Path, args, name: str, batch: int, rate: float, statistics: str, tuned: bool
) -> list:
    """Epoch entries of one run's log; a run that is there already is read again."""
    from model.network.config import NetworkConfig
    from model.training.train import train

    folder = out / name
    if not (folder / "summary.json").exists():
        config = TrainConfig(
            **RECIPE
            | {
                "batch_size": batch,
                "lr": rate,
                "statistics": statistics,
                "epochs": args.epochs,
                "limit": args.limit,
                "ema": 0.0,
                "schedule": "constant",
                "pictures": 1,
                "validation_limit": 24,
                "recalibration": 32,
                "validation_share": 0.2,
            }
        )
        train(
            [shards],
            folder,
            config,
            network=NetworkConfig.preset("small"),
            device="cpu",
            init=out / "first" / "last.pt" if tuned else None,
            note=lambda text: print(name, text, file=sys.stderr),
        )
    entries = [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]
    return [entry for entry in entries if entry["event"] == "epoch"]


def draw(results: dict[str, list], path: Path) -> None:
    """One panel for each run: both modes over the epochs."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(
        1, len(results), figsize=(3.4 * len(results), 3.2), sharey=True, layout="constrained"
    )
    for axis, (title, entries) in zip(axes, results.items()):
        epochs = [entry["epoch"] for entry in entries]
        for name, label, style in (
            ("l1_training_mode", "as in training", "--"),
            ("l1_evaluation_mode", "as in a test", "-"),
        ):
            axis.plot(
                epochs,
                [entry[name] for entry in entries],
                style,
                marker="o",
                markersize=3,
                label=label,
            )
        axis.set_title(title.replace(", ", ",\n"), fontsize=9)
        axis.set_xlabel("epoch")
        axis.grid(alpha=0.3)
    axes[0].set_ylabel("L1 on held-out people")
    axes[0].legend(frameon=False)
    figure.savefig(path, dpi=110)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("out", type=Path)
    parser.add_argument("--shards", type=Path, required=True, help="folder with train/")
    parser.add_argument("--epochs", type=int, default=5)
    parser.add_argument("--limit", type=int, default=40, help="people per category")
    parser.add_argument("--threads", type=int, default=2)
    args = parser.parse_args()

    import torch

    torch.set_num_threads(args.threads)
    args.out.mkdir(parents=True, exist_ok=True)
    run_one(args.out, args.shards / "train", args, *FIRST)
    results = {
        title: run_one(args.out, args.shards / "train", args, *run) for title, run in RUNS.items()
    }
    draw(results, args.out / "blank_tests.png")
    names = ("epoch", "l1_training_mode", "l1_evaluation_mode", "gap")
    table = {
        title: [{name: entry[name] for name in names} for entry in entries]
        for title, entries in results.items()
    }
    (args.out / "blank_tests.json").write_text(json.dumps(table, indent=1))
    for title, entries in results.items():
        gaps = [entry["gap"] for entry in entries[1:]]
        print(
            f"{title}: largest gap {max(gaps):+.4f}, last {gaps[-1]:+.4f}; L1 in a test at the end "
            f"{entries[-1]['l1_evaluation_mode']:.4f}"
        )


if __name__ == "__main__":
    main()
