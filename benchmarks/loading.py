"""Training samples per second of CPU time: from shards, and from loose files with Pillow and masks
drawn on the fly.

    python benchmarks/loading.py [DATA]

Every way draws the pose and mirrors half of the samples, and its batches end in the process that
asked for them. "As floats": the float tensors of a batch, all of them made on the CPU, as loose
files give them. "As bytes": what a GPU is sent, copied once more as it is into pinned memory; there
the GPU makes the floats. The CPU time of worker processes counts from their start to their end.
DATA is a dataset in Dress Code's layout; without it a synthetic one is made.
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
from collections.abc import Callable, Iterator
from itertools import product
from pathlib import Path

import click
import cv2
import numpy as np
import torch
from PIL import Image
from torch.utils.data import DataLoader, Dataset

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks.preprocess import SIZE, linked_dataset  # noqa: E402
from model.data.dataset import TryOnDataset, mirror_keypoints  # noqa: E402
from model.data.loading import Loader, in_batches  # noqa: E402
from pipeline.dataset.index import index_pairs  # noqa: E402
from pipeline.dataset.pose import render_pose  # noqa: E402
from pipeline.dataset.readers import read_keypoints  # noqa: E402
from pipeline.masks.render import render_agnostic_mask  # noqa: E402
from pipeline.preprocess.run import preprocess  # noqa: E402

LOOSE = "loose files, Pillow"
BATCHES, WORKERS = (1, 4), (0, 1, 2)


class LooseFiles(Dataset):
    """What a script does: every file opened with Pillow at its full size, the mask drawn when it is
    needed."""

    def __init__(self, root: Path):
        self.pairs = index_pairs(root)

    def __len__(self) -> int:
        return len(self.pairs)

    def __getitem__(self, i: int) -> dict:
        pair, (height, width) = self.pairs[i], SIZE
        person, garment = (
            np.array(
                Image.open(path).convert("RGB").resize((width, height), Image.Resampling.BICUBIC)
            )
            for path in (pair.image, pair.garment)
        )
        label_map, dense = (
            np.array(Image.open(path).resize((width, height), Image.Resampling.NEAREST))
            for path in (pair.label_map, pair.dense)
        )
        keypoints = read_keypoints(pair.keypoints, SIZE)
        mask = render_agnostic_mask(pair.category, keypoints, dense, label_map)
        if i % 2:
            person, garment, mask = person[:, ::-1], garment[:, ::-1], mask[:, ::-1]
            keypoints = mirror_keypoints(keypoints, width)
        agnostic = plain_tensor(np.where(mask[..., None], 0, person))
        return {
            "reference": torch.cat([plain_tensor(render_pose(keypoints, SIZE)), agnostic]),
            "agnostic": agnostic,
            "garment": plain_tensor(garment),
            "person": plain_tensor(person),
            "mask": torch.from_numpy(mask.astype(np.float32))[None],
            "category": pair.category.index,
            "index": i,
        }


def plain_tensor(image: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(np.ascontiguousarray(image)).permute(2, 0, 1).float() / 127.5 - 1


def spent() -> float:
    """CPU seconds of this process and its ended children."""
    return sum(
        usage.ru_utime + usage.ru_stime
        for usage in map(resource.getrusage, (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    )


def loose(dataset: LooseFiles, rows: list[int], size: int, workers: int) -> Iterator[int]:
    """Loads in batches, and holds none while it makes the next; gives the number of samples of
    each."""
    batches = iter(
        DataLoader(dataset, size, sampler=rows, num_workers=workers, worker_init_fn=one_thread)
    )
    for _ in in_batches(rows, size):
        yield len(next(batches)["index"])
    assert next(batches, None) is None  # now its workers have ended


def floats(dataset: TryOnDataset, rows: list[int], size: int, workers: int) -> Iterator[int]:
    batches = iter(Loader(dataset, in_batches(rows, size), workers=workers))
    for _ in in_batches(rows, size):
        yield len(next(batches)["index"])
    assert next(batches, None) is None


def as_bytes(dataset: TryOnDataset, rows: list[int], size: int, workers: int) -> Iterator[int]:
    pinned = torch.empty(0)
    for planes, taken in Loader(dataset, in_batches(rows, size), workers=workers).packed():
        pinned = pinned if len(pinned) else planes.clone()
        pinned[: len(planes)].copy_(planes)
        yield len(taken)


def timed(batches: Iterator[int]) -> tuple[float, float]:
    """Samples a CPU second and samples a second."""
    start, begun = spent(), time.perf_counter()
    seen = sum(batches)
    seconds = time.perf_counter() - begun
    return seen / (spent() - start), seen / seconds


def one_thread(_worker: int) -> None:
    cv2.setNumThreads(1)
    torch.set_num_threads(1)


def measure(data: Path, base: Path, samples: int, repeats: int) -> list[dict]:
    """One row for each way, batch size and number of workers: medians, and CPU rates with the least
    and most."""
    ways: dict[str, tuple[Callable, Dataset]] = {LOOSE: (loose, LooseFiles(data))}
    for images in ("jpeg", "raw"):
        preprocess(data, base / images, size_hw=SIZE, images=images, jobs=os.cpu_count() or 1)
        dataset = TryOnDataset([base / images], mirror=True)
        ways |= {
            f"{images}, as floats": (floats, dataset),
            f"{images}, as bytes": (as_bytes, dataset),
        }
    rates: dict[tuple, list[tuple[float, float]]] = {}
    random = np.random.default_rng(0)
    for round_ in range(repeats + 1):
        for size, workers, name in product(BATCHES, WORKERS, ways):
            load, dataset = ways[name]
            rows = random.integers(
                0, len(dataset), samples // 8 if name == LOOSE else samples
            ).tolist()
            rate = timed(load(dataset, rows, size, workers))
            if round_:  # the first one warms the files
                rates.setdefault((size, workers, name), []).append(rate)
    return [row(key, values, rates[(*key[:2], LOOSE)]) for key, values in rates.items()]


def row(key: tuple, values: list[tuple[float, float]], base: list[tuple[float, float]]) -> dict:
    size, workers, name = key
    cpu = [rate for rate, _ in values]
    ratio = statistics.median(cpu) / statistics.median(rate for rate, _ in base)
    return {
        "way": name,
        "batch": size,
        "workers": workers,
        "x_loose_files": round(ratio, 1),
        "samples_per_cpu_second": [round(f(cpu), 1) for f in (statistics.median, min, max)],
        "samples_per_second": round(statistics.median(rate for _, rate in values), 1),
    }


def show(result: dict) -> None:
    click.echo(
        f"{result['machine']}; {result['people']} people of {result['data']}, {SIZE[0]} x {SIZE[1]}"
    )
    click.echo(
        f"{'':22}batch  workers  samples a CPU second (least, most)  x loose files  samples a "
        f"second"
    )
    for found in result["rates"]:
        median, least, most = found["samples_per_cpu_second"]
        click.echo(
            f"{found['way']:22}{found['batch']:>5}{found['workers']:>9}{median:>14} ({least}, "
            f"{most})".ljust(71)
            + f"{found['x_loose_files']:>15}{found['samples_per_second']:>18}"
        )


@click.command()
@click.argument("data", type=click.Path(exists=True, path_type=Path), required=False)
@click.option("--people", default=120, show_default=True)
@click.option(
    "--samples", default=800, show_default=True, help="A run; loose files take an eighth of them."
)
@click.option("--repeats", default=5, show_default=True)
@click.option("--json", "json_path", type=click.Path(path_type=Path))
def main(
    data: Path | None, people: int, samples: int, repeats: int, json_path: Path | None
) -> None:
    """Loading for training, from shards and from loose files."""
    one_thread(0)
    with tempfile.TemporaryDirectory() as place:
        base = Path(place)
        if data is None:
            from pipeline.sample import make_sample

            make_sample(data := base / "sample", pairs=16)
        linked = linked_dataset(data, base / "data", people)
        result = {
            "machine": f"{platform.machine()}, {os.cpu_count()} cores",
            "data": data.name,
            "people": len(index_pairs(linked)),
            "rates": measure(linked, base, samples, repeats),
        }
    show(result)
    if json_path:
        json_path.write_text(json.dumps(result, indent=1))


if __name__ == "__main__":
    main()
