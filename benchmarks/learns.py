"""Does training learn? The small network, under 15 minutes on two cores, against two ways of not
learning.

    python benchmarks/learns.py OUT [--shards FOLDER] [--minutes 14.8] [--epochs N] ...

Makes a synthetic dataset whose test part holds other people and other garments (or takes OUT/shards
where it is there), trains, and prints L1 and SSIM inside the mask, per category, for
  mean     the garment's mean colour filled into the mask,
  box      the garment picture, cut to the garment, fitted into the mask by its bounding box,
  network  best.pt of the run.
Exit code 1 if the network does not beat both everywhere.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1]))

from model.data.dataset import TryOnDataset, to_image  # noqa: E402
from model.training.config import TrainConfig  # noqa: E402
from pipeline.base.labels import Category  # noqa: E402

RECIPE = {
    "batch_size": 4,
    "lr": 5e-4,
    "light_rate": 0.02,
    "schedule": "cosine",
    "warmup": 20,
    "ema": 0.99,
    "clip": 1.0,
    "perceptual": "none",
    "workers": 0,
    "pictures": 2,
    "validation_limit": 30,
}
"""What lets a small network learn in minutes: ten times the rate of fine-tuning, with light layers
that hardly move."""


def compare(shards: Path, weights: Path) -> dict:
    """{category: {way: {"l1_inside", "ssim_inside"}}}: means over the pairs of a paired test
    split."""
    import torch

    from model.evaluation.methods import Shown, fill_mean, fit_box
    from model.evaluation.metrics import pair_metrics
    from model.network.checkpoint import load_network
    from model.training.validate import inputs_of

    network, dataset = load_network(weights), TryOnDataset([shards])
    rows: dict[str, dict[str, list]] = {}
    for i, row in enumerate(dataset.rows):
        sample = dataset[i]
        person, garment = (to_image(sample[name]) for name in ("person", "garment"))
        mask = sample["mask"][0].numpy() > 0.5
        batch = {name: sample[name][None] for name in ("reference", "garment", "agnostic")}
        with torch.no_grad():
            dressed = to_image(network(*inputs_of(batch, torch.device("cpu")))[0])
        shown = Shown(row, person, garment, mask)
        results = {"mean": fill_mean(shown), "box": fit_box(shown), "network": dressed}
        for way, result in results.items():
            rows.setdefault(str(row.category), {}).setdefault(way, []).append(
                pair_metrics(result, person, mask)
            )
    return {
        category: {
            way: {
                name: float(np.mean([f[name] for f in figures]))
                for name in ("l1_inside", "ssim_inside")
            }
            for way, figures in ways.items()
        }
        for category, ways in rows.items()
    }


def beaten(table: dict) -> list[str]:
    """Where the network does not win; empty if it wins everywhere."""
    lost = []
    for category, ways in table.items():
        for way in ("mean", "box"):
            if ways["network"]["l1_inside"] >= ways[way]["l1_inside"]:
                lost.append(f"{category}: L1 against {way}")
            if ways["network"]["ssim_inside"] <= ways[way]["ssim_inside"]:
                lost.append(f"{category}: SSIM against {way}")
    return lost


def render(table: dict) -> str:
    """The comparison as a Markdown table."""
    lines = ["| category | figure | mean colour | fitted box | network |", "|---|---|---|---|---|"]
    for category in (str(c) for c in Category if str(c) in table):
        for name, label in (("l1_inside", "L1"), ("ssim_inside", "SSIM")):
            values = " | ".join(
                f"{table[category][way][name]:.4f}" for way in ("mean", "box", "network")
            )
            lines.append(f"| {category} | {label} | {values} |")
    return "\n".join(lines)


def make_shards(out: Path, pairs: int, tests: int, size_hw: tuple[int, int]) -> Path:
    """Shards of a synthetic dataset: ``train`` and ``test_paired``; made once."""
    import subprocess

    root = Path(__file__).parents[1]
    size = "{}x{}".format(*size_hw)
    commands = [
        [
            "make-sample",
            str(out / "data"),
            "--pairs",
            str(pairs),
            "--test-pairs",
            str(tests),
            "--size",
            "{}x{}".format(*(side * 2 for side in size_hw)),
        ]
    ]
    commands += [
        [
            "preprocess",
            str(out / "data"),
            str(out / "shards" / split),
            "--split",
            split,
            "--size",
            size,
        ]
        for split in ("train", "test_paired", "test_unpaired")
    ]
    for command in commands:
        subprocess.run([sys.executable, str(root / "cli.py"), *command], check=True)
    return out / "shards"


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("out", type=Path)
    parser.add_argument(
        "--shards", type=Path, help="folder with train/, test_paired/ and test_unpaired/"
    )
    parser.add_argument("--pairs", type=int, default=400, help="people per category to train on")
    parser.add_argument("--tests", type=int, default=30, help="people per category to test on")
    parser.add_argument("--size", default="128x96")
    parser.add_argument("--epochs", type=int, default=8)
    parser.add_argument("--minutes", type=float, default=14.8)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument(
        "--set", action="append", default=[], metavar="NAME=VALUE", help="another training option"
    )
    args = parser.parse_args()

    import torch

    from model.network.config import NetworkConfig
    from model.training.train import train

    torch.set_num_threads(args.threads)
    size_hw = tuple(int(n) for n in args.size.split("x"))
    shards = args.shards or (
        args.out / "shards"
        if (args.out / "shards").exists()
        else make_shards(args.out, args.pairs, args.tests, size_hw)
    )
    changes = {name: json.loads(value) for name, value in (item.split("=", 1) for item in args.set)}
    config = TrainConfig(**RECIPE | {"epochs": args.epochs, "max_minutes": args.minutes} | changes)
    began, cpu = time.monotonic(), time.process_time()
    unpaired = [shards / "test_unpaired"] if (shards / "test_unpaired").exists() else []
    summary = train(
        [shards / "train"],
        args.out / "run",
        config,
        network=NetworkConfig.preset("small"),
        unpaired=unpaired,
        device="cpu",
        note=lambda text: print(text, file=sys.stderr, flush=True),
    )
    print(summary["text"])
    print(
        f"{time.monotonic() - began:.0f} s of training, {time.process_time() - cpu:.0f} s of "
        f"processor time"
    )
    table = compare(shards / "test_paired", args.out / "run" / "best.pt")
    print(render(table))
    lost = beaten(table)
    print("The network wins everywhere." if not lost else "Lost: " + "; ".join(lost))
    return bool(lost)


if __name__ == "__main__":
    raise SystemExit(main())
