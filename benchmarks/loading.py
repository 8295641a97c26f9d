"""Training samples per second of CPU time: from shards, and from loose files with Pillow and masks drawn on the fly.

    python benchmarks/loading.py [DATA]

Every way draws the pose and mirrors half of the samples. "As in training": the loader gives small uint8 pictures, and
``to_batch`` makes the float tensors and the agnostic picture where the network runs; "and widened here" adds that work
on the CPU. "As floats" does everything in the loader, as loose files do it too. DATA is a dataset in Dress Code's
layout; without it a synthetic one is made.
"""

from __future__ import annotations

import json
import os
import platform
import resource
import statistics
import sys
import tempfile
import time
from collections.abc import Iterable
from pathlib import Path

import click
import cv2
import numpy as np
import torch
from PIL import Image
from torch.utils.data import DataLoader, Dataset

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks.preprocess import SIZE, linked_dataset  # noqa: E402
from model.dataset import TryOnDataset, mirror_keypoints, to_batch  # noqa: E402
from pipeline.agnostic import render_agnostic_mask  # noqa: E402
from pipeline.dresscode import index_pairs  # noqa: E402
from pipeline.pose import render_pose  # noqa: E402
from pipeline.readers import read_keypoints  # noqa: E402
from pipeline.run import preprocess  # noqa: E402

LOOSE = "loose files, Pillow"


class LooseFiles(Dataset):
    """What a script does: every file opened with Pillow at its full size, the mask drawn when it is needed."""

    def __init__(self, root: Path):
        self.pairs = index_pairs(root)

    def __len__(self) -> int:
        return len(self.pairs)

    def __getitem__(self, i: int) -> dict:
        pair, (height, width) = self.pairs[i], SIZE
        person, garment = (np.array(Image.open(path).convert("RGB").resize((width, height), Image.Resampling.BICUBIC))
                           for path in (pair.image, pair.garment))
        label_map, dense = (np.array(Image.open(path).resize((width, height), Image.Resampling.NEAREST))
                            for path in (pair.label_map, pair.dense))
        keypoints = read_keypoints(pair.keypoints, SIZE)
        mask = render_agnostic_mask(pair.category, keypoints, dense, label_map)
        if i % 2:
            person, garment, mask = person[:, ::-1], garment[:, ::-1], mask[:, ::-1]
            keypoints = mirror_keypoints(keypoints, width)
        agnostic = plain_tensor(np.where(mask[..., None], 0, person))
        return {"reference": torch.cat([plain_tensor(render_pose(keypoints, SIZE)), agnostic]), "agnostic": agnostic,
                "garment": plain_tensor(garment), "person": plain_tensor(person),
                "mask": torch.from_numpy(mask.astype(np.float32))[None], "category": pair.category.index, "index": i}


def plain_tensor(image: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(np.ascontiguousarray(image)).permute(2, 0, 1).float() / 127.5 - 1


def spent() -> float:
    """CPU seconds of this process and its ended children."""
    return sum(usage.ru_utime + usage.ru_stime for usage in map(
        resource.getrusage, (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)))


def load(dataset: Dataset, order: list[int], workers: int, widen: bool = False) -> tuple[float, float]:
    """Samples a CPU second and samples a second; workers are counted from their start to their end."""
    loader: Iterable = DataLoader(dataset, batch_size=1, sampler=order, num_workers=workers,
                                  worker_init_fn=one_thread)  # type: ignore[arg-type]
    start, begun, seen = spent(), time.perf_counter(), 0
    for batch in loader:
        seen += len((to_batch(batch) if widen else batch)["index"])
    seconds = time.perf_counter() - begun
    del loader
    return seen / (spent() - start), seen / seconds


def one_thread(_worker: int) -> None:
    cv2.setNumThreads(1)
    torch.set_num_threads(1)


def measure(data: Path, base: Path, samples: int, repeats: int) -> dict:
    ways: dict[str, tuple[Dataset, bool]] = {LOOSE: (LooseFiles(data), False)}
    for images in ("jpeg", "raw"):
        preprocess(data, base / images, size_hw=SIZE, images=images, jobs=os.cpu_count() or 1)
        compact, floats = (TryOnDataset([base / images], mirror=True, compact=c) for c in (True, False))
        ways |= {f"{images}, as in training": (compact, False), f"{images}, and widened here": (compact, True),
                 f"{images}, as floats": (floats, False)}
    rates: dict[tuple[str, int], list[tuple[float, float]]] = {}
    random = np.random.default_rng(0)
    for round_ in range(repeats + 1):
        for name, (dataset, widen) in ways.items():
            for workers in (0, 1, 2):
                count = samples // 8 if name == LOOSE else samples
                order = random.integers(0, len(dataset), count).tolist()  # type: ignore[arg-type]
                rate = load(dataset, order, workers, widen)
                if round_:  # the first one warms the files
                    rates.setdefault((name, workers), []).append(rate)
    return {f"{name}, {workers} workers": {
        "samples_per_cpu_second": round(statistics.median(cpu for cpu, _ in values), 1),
        "samples_per_second": round(statistics.median(wall for _, wall in values), 1)}
        for (name, workers), values in rates.items()}


def show(result: dict) -> None:
    click.echo(f"{result['machine']}; {result['people']} people of {result['data']}, {SIZE[0]} x {SIZE[1]}")
    click.echo(f"{'':36}{'samples a CPU second':>22}{'x loose files':>15}{'samples a second':>18}")
    rows = result["rates"]
    for name, row in rows.items():
        base = rows[f"{LOOSE}, {name.rsplit(', ', 1)[1]}"]["samples_per_cpu_second"]
        click.echo(f"{name:36}{row['samples_per_cpu_second']:>22}{row['samples_per_cpu_second'] / base:>15.1f}"
                   f"{row['samples_per_second']:>18}")


@click.command()
@click.argument("data", type=click.Path(exists=True, path_type=Path), required=False)
@click.option("--people", default=120, show_default=True)
@click.option("--samples", default=400, show_default=True, help="A run; loose files take an eighth of them.")
@click.option("--repeats", default=5, show_default=True)
@click.option("--json", "json_path", type=click.Path(path_type=Path))
def main(data: Path | None, people: int, samples: int, repeats: int, json_path: Path | None) -> None:
    """Loading for training, from shards and from loose files."""
    one_thread(0)
    with tempfile.TemporaryDirectory() as place:
        base = Path(place)
        if data is None:
            from pipeline.sample import make_sample
            make_sample(data := base / "sample", pairs=16)
        linked = linked_dataset(data, base / "data", people)
        result = {"machine": f"{platform.machine()}, {os.cpu_count()} cores", "data": data.name,
                  "people": len(index_pairs(linked)), "rates": measure(linked, base, samples, repeats)}
    show(result)
    if json_path:
        json_path.write_text(json.dumps(result, indent=1))


if __name__ == "__main__":
    main()
