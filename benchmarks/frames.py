"""Whole photos or parts of them: what the same network makes of the same people.

    python benchmarks/frames.py DATA OUT [--pairs 200] [--epochs 8] [--limit 20] [--size 128x96]

Trains the weights that come with the program on shards of both frames, for equal steps, and dresses
the unseen people of DATA's test list (make-sample) at 512 x 384. Prints, per category, figures
inside the mask of the composite against the photo, and beside them those of ``resized``: the
photo's own pixels brought to the network's size and back, the best that a frame allows.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1]))

from model.evaluation.metrics import pair_metrics  # noqa: E402
from model.tryon.predictor import TryOn  # noqa: E402
from model.tryon.step import composite  # noqa: E402
from pipeline.base.labels import Category  # noqa: E402
from pipeline.base.names import FRAMES, REGION  # noqa: E402
from pipeline.dataset.crop import Crop  # noqa: E402
from pipeline.masks.region import cut_region  # noqa: E402
from pipeline.people.open import open_people  # noqa: E402

PHOTO_HW = (512, 384)
SHOWN = ("l1_inside", "ssim_inside", "detail", "gradient_correlation")
TRAINING = {
    "--perceptual": "none",
    "--batch-size": "8",
    "--light-rate": "0.02",
    "--schedule": "cosine",
    "--warmup": "20",
    "--clip": "1",
    "--ema": "0.99",
    "--workers": "0",
    "--validation-share": "0",
    "--pictures": "0",
    "--statistics": "recalibrate",
    "--recalibration": "64",
}


def train(data: Path, out: Path, frame: str, args: argparse.Namespace) -> Path:
    """Weights that were trained on the frame; made once."""
    shards, run = out / f"shards-{frame}", out / f"run-{frame}"
    command = [sys.executable, str(Path(__file__).parents[1] / "cli.py")]
    if not (run / "summary.json").exists():
        packing = ["--frame", frame, "--size", args.size, "--limit", str(args.pairs)]
        subprocess.run([*command, "preprocess", data, shards, *packing], check=True)
        begin = ["--resume"] if (run / "last.pt").exists() else ["--init", args.init]
        same = [word for pair in TRAINING.items() for word in pair]
        options = ["--epochs", str(args.epochs), "--lr", str(args.lr), *begin, *same]
        subprocess.run([*command, "train", shards, run, *options], check=True)
    return run / "last.pt"


def resized(photo: np.ndarray, crop: Crop, size_hw: tuple[int, int]) -> np.ndarray:
    """The photo as a network of that size would give it back if it made no error."""
    return crop.put_back(crop.image(photo, size_hw), photo)


def measure(data: Path, networks: dict[str, TryOn], limit: int) -> dict:
    """(category, way) -> mean figures of the test people."""
    rows: dict[tuple[str, str], list[dict]] = {}
    for person in open_people(data, split="test_paired", limit=limit):
        person = person.at(PHOTO_HW)
        assert person.photo is not None
        for frame, network in networks.items():
            region = cut_region(person, ("standard",), network.network_hw)
            mask, crop = region.whole["standard"], region.person.crop
            if frame != REGION or crop is None:
                crop = Crop(PHOTO_HW, 0, 0, *PHOTO_HW)
            best = composite(person.photo, resized(person.photo, crop, network.network_hw), mask)
            for way, picture in (
                (frame, network.dress(person)),
                (f"{frame}, resized", best),
            ):
                found = pair_metrics(picture, person.photo, mask)
                rows.setdefault((str(person.category), way), []).append(found)
    return {
        key: {n: np.nanmean([f[n] for f in found]) for n in found[0]} for key, found in rows.items()
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--pairs", type=int, default=200)
    parser.add_argument("--epochs", type=int, default=8)
    parser.add_argument("--limit", type=int, default=20)
    parser.add_argument("--lr", type=float, default=1e-3)
    parser.add_argument("--size", default="128x96")
    parser.add_argument("--init", default="drawn")
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    weights = {frame: train(args.data, args.out, frame, args) for frame in FRAMES}
    networks = {frame: TryOn.load(path, "cpu") for frame, path in weights.items()}
    found = measure(args.data, networks, args.limit)
    print("| category | pictures | " + " | ".join(SHOWN) + " |\n" + "|---" * (len(SHOWN) + 2) + "|")
    for category in map(str, Category):
        for key, figures in found.items():
            if key[0] == category:
                values = " | ".join(f"{figures[name]:.3f}" for name in SHOWN)
                print(f"| {category} | {key[1]} | {values} |")


if __name__ == "__main__":
    main()
