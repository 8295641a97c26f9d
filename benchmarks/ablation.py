"""What each term of the loss brings: the small network with all of them, without each, and with
plain L1.

    python benchmarks/ablation.py OUT --shards FOLDER --test FOLDER [--seeds N] [--epochs N]

``--shards`` hold flows of drawn people (``preprocess --flows``), ``--test`` other people's
test_paired shards of the same size. Every run has the same steps. Writes OUT/ablation.json and
.md; a run that was stopped goes on.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1]))

from benchmarks.learns import RECIPE  # noqa: E402
from model.training.config import TrainConfig  # noqa: E402
from model.training.setup import GUIDED  # noqa: E402
from pipeline.base.labels import Category  # noqa: E402

PLAIN = dict.fromkeys(GUIDED, 0.0)
VARIANTS: dict[str, dict[str, float]] = {
    "all terms (the default)": {},
    "plain L1": PLAIN,
    "without inside": {"loss_inside": 0.0},
    "without share": {"loss_share": 0.0},
    "without cloth": {"loss_cloth": 0.0},
    "without flow": {"loss_flow": 0.0},
    "without together": {"loss_together": 0.0},
    "without black": {"loss_black": 0.0},
    "with smooth": {"loss_smooth": 1.0},
    "with edges": {"loss_edges": 1.0},
    "coarse first": {"coarse_first": 0.6},
}
FIGURES = ("l1_inside", "ssim_inside", "detail", "gradient_correlation", "flow_spread")


def run_one(folder: Path, args, changes: dict[str, float], seed: int) -> dict[str, dict]:
    """Group -> figures on the test people after one run; read again where it is there."""
    import torch

    from model.data.dataset import TryOnDataset
    from model.data.loading import Loader, in_batches
    from model.network.checkpoint import load_network
    from model.network.config import NetworkConfig
    from model.training.train import train
    from model.training.validate import measure, summarise

    done = folder / "figures.json"
    if done.exists():
        return json.loads(done.read_text())
    options = RECIPE | {"lr": 1.5e-3, "epochs": args.epochs, "seed": seed, "limit": args.limit}
    options |= {"validation_share": 0.0, "pictures": 0, "recalibration": 48, "save_minutes": 2.0}
    resume = (folder / "last.pt").exists()
    train(
        [args.shards],
        folder,
        TrainConfig(**options | changes),
        network=NetworkConfig.preset("small"),
        resume=resume,
        device="cpu",
        note=lambda text: print(folder.name, text, file=sys.stderr, flush=True),
    )
    data, device = TryOnDataset([args.test]), torch.device("cpu")
    loader = Loader(data, in_batches(range(len(data)), 8), device)
    found = summarise(measure(load_network(folder / "last.pt"), loader, None, device))
    told = {"all": {name: found[name] for name in FIGURES}}
    for category in map(str, Category):
        told[category] = {name: found["categories"][category][name] for name in FIGURES}
    done.write_text(json.dumps(told, indent=1))
    return told


def table(results: dict[str, list[dict]]) -> str:
    """Markdown: mean over the seeds, with half the range behind it."""
    lines = ["| | " + " | ".join(FIGURES) + " |", "|---" * (len(FIGURES) + 1) + "|"]
    for name, seeds in results.items():
        cells = []
        for figure in FIGURES:
            values = np.array([told["all"][figure] for told in seeds])
            cells.append(f"{values.mean():.3f} ± {np.ptp(values) / 2:.3f}")
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("out", type=Path)
    parser.add_argument("--shards", type=Path, required=True)
    parser.add_argument("--test", type=Path, required=True)
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--limit", type=int, default=400, help="people per category")
    parser.add_argument("--threads", type=int, default=1)
    args = parser.parse_args()

    import torch

    torch.set_num_threads(args.threads)
    args.out.mkdir(parents=True, exist_ok=True)
    results: dict[str, list[dict]] = {}
    for seed in range(args.seeds):
        for name, changes in VARIANTS.items():
            folder = args.out / f"{name.split(' (')[0].replace(' ', '-')}-{seed}"
            results.setdefault(name, []).append(run_one(folder, args, changes, seed))
            (args.out / "ablation.json").write_text(json.dumps(results, indent=1))
            (args.out / "ablation.md").write_text(table(results) + "\n")
    print(table(results))


if __name__ == "__main__":
    main()
