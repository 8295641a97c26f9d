"""Is it better to fine-tune from upper bodies than to start from scratch? The same steps, the same
data.

    python benchmarks/finetune_claim.py OUT --shards FOLDER [--epochs N] [--limit N]

Trains the small network on all three categories twice, from the weights drawn-upper, which know
upper bodies alone, and from scratch, and writes OUT/finetune_claim.png and .json: held-out L1 and
SSIM inside the mask, per category. Give shards of other people than those that drawn-upper has
seen (another seed). A run that was stopped goes on.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from benchmarks.learns import RECIPE  # noqa: E402
from model.network.own import own_weights  # noqa: E402
from model.training.config import TrainConfig  # noqa: E402
from pipeline.base.labels import Category  # noqa: E402


def run_one(folder: Path, shards: Path, args, init: Path | None = None) -> list[dict]:
    """Epoch entries of one run's log; a run that is there already is read again."""
    from model.network.config import NetworkConfig
    from model.training.train import train

    summary = folder / "summary.json"
    if not summary.exists() or json.loads(summary.read_text())["stopped"]:
        config = TrainConfig(
            **RECIPE
            | {
                "lr": 1e-3,
                "epochs": args.epochs,
                "limit": args.limit,
                "statistics": "recalibrate",
                "pictures": 1,
                "recalibration": 32,
                "validation_share": 0.15,
                "save_minutes": 3.0,
            }
        )
        resume = (folder / "last.pt").exists()
        train(
            [shards],
            folder,
            config,
            network=None if init else NetworkConfig.preset("small"),
            init=None if resume else init,
            resume=resume,
            device="cpu",
            note=lambda text: print(folder.name, text, file=sys.stderr),
        )
    entries = [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]
    return [entry for entry in entries if entry["event"] == "epoch"]


def draw(results: dict[str, list[dict]], path: Path) -> None:
    """L1 and SSIM inside the mask over the epochs, a colour for each category, a line style for
    each start."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(1, 2, figsize=(10, 4), layout="constrained")
    for axis, (name, title) in zip(axes, (("l1_inside", "L1"), ("ssim_inside", "SSIM"))):
        for colour, category in enumerate(Category):
            for style, (start, entries) in zip(("-", "--"), results.items()):
                axis.plot(
                    [entry["epoch"] for entry in entries],
                    [entry["categories"][str(category)][name] for entry in entries],
                    style,
                    color=f"C{colour}",
                    label=f"{category}, {start}",
                )
        axis.set(title=f"{title} inside the mask", xlabel="epoch")
        axis.grid(alpha=0.3)
    axes[0].legend(frameon=False, fontsize=8)
    figure.savefig(path, dpi=110)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("out", type=Path)
    parser.add_argument("--shards", type=Path, required=True, help="shards of all three categories")
    parser.add_argument(
        "--init", type=Path, default=own_weights("drawn-upper"), help="weights of upper bodies"
    )
    parser.add_argument("--epochs", type=int, default=5)
    parser.add_argument("--limit", type=int, default=60, help="people per category")
    parser.add_argument("--threads", type=int, default=2)
    args = parser.parse_args()

    import torch

    torch.set_num_threads(args.threads)
    args.out.mkdir(parents=True, exist_ok=True)
    results = {
        "fine-tuned": run_one(args.out / "tuned", args.shards, args, args.init),
        "from scratch": run_one(args.out / "scratch", args.shards, args),
    }
    draw(results, args.out / "finetune_claim.png")
    (args.out / "finetune_claim.json").write_text(json.dumps(results, indent=1))
    for start, entries in results.items():
        for category in map(str, Category):
            last = entries[-1]["categories"][category]
            print(
                f"{start}, {category}: L1 {last['l1_inside']:.4f}, SSIM {last['ssim_inside']:.4f}"
            )


if __name__ == "__main__":
    main()
