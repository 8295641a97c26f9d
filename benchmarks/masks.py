"""What an agnostic mask costs, beside one JPEG decode of its photo and beside the plain way of
drawing it.

    python benchmarks/masks.py [DATA]

DATA is a dataset in Dress Code's layout; without it a synthetic one is made. Times are medians of
CPU time over all people and repeats, on one thread; the ratios are what to compare between
machines.
"""

from __future__ import annotations

import json
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import click
import cv2
import numpy as np
from PIL import Image, ImageDraw

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from pipeline.base.labels import GARMENT_LABELS, Category  # noqa: E402
from pipeline.dataset.index import PairRecord, index_pairs  # noqa: E402
from pipeline.dataset.readers import (  # noqa: E402
    read_dense,
    read_image,
    read_keypoints,
    read_label_map,
)
from pipeline.inspect.scores import score_mask  # noqa: E402
from pipeline.masks.render import STYLES, render_agnostic_mask, render_agnostic_masks  # noqa: E402
from pipeline.masks.rules import RULES  # noqa: E402

SIZES = ((1024, 768), (512, 384))


def cpu(work: Callable[[], object], repeats: int) -> float:
    """Median CPU milliseconds of one call, after one to warm up."""
    work()
    times = []
    for _ in range(repeats):
        start = time.process_time()
        work()
        times.append(time.process_time() - start)
    return statistics.median(times) * 1e3


def plain_mask(category: Category, keypoints: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """The plain way: Pillow lines and discs in full size, a float array per label, small dilations
    over and over."""
    height, width = labels.shape
    points = np.nan_to_num(keypoints[:, :2], nan=-1)
    thick = max(1, int(0.35 * np.linalg.norm(points[5] - points[2])))
    picture = Image.new("L", (width, height), 0)
    draw = ImageDraw.Draw(picture)
    chains = {
        Category.UPPER_BODY: ((4, 3, 2, 5, 6, 7), (2, 8, 11, 5)),
        Category.LOWER_BODY: ((8, 9, 10), (11, 12, 13), (8, 11)),
    }
    chains[Category.DRESSES] = chains[Category.UPPER_BODY] + chains[Category.LOWER_BODY]
    for chain in chains[category]:
        seen = [tuple(points[j]) for j in chain if points[j, 0] >= 0]
        draw.line(seen, fill=1, width=thick, joint="curve")
        for x, y in seen:
            draw.ellipse((x - thick / 2, y - thick / 2, x + thick / 2, y + thick / 2), fill=1)
    rule = RULES[category, "standard"]
    garment = sum((labels == int(label)).astype(np.float32) for label in GARMENT_LABELS[category])
    kept = sum((labels == int(label)).astype(np.float32) for label in rule.keep)
    region = np.clip(np.asarray(picture, np.float32) + garment, 0, 1)
    size = max(3, round(20 * height / 1024))
    grown = cv2.dilate(region, np.ones((size, size), np.uint8), iterations=5)
    return (np.clip(grown - kept, 0, 1) + garment) > 0


def measure(record: PairRecord, size_hw: tuple[int, int], repeats: int) -> dict[str, float]:
    """CPU milliseconds for one person, by name of the work."""
    jpeg = np.frombuffer(record.image.read_bytes(), np.uint8)
    keypoints = read_keypoints(record.keypoints, size_hw)
    labels = read_label_map(record.label_map, size_hw) if record.label_map else None
    dense = read_dense(record.dense, size_hw) if record.dense else None
    person = record.category, keypoints, dense, labels
    found = {
        "decode": cpu(lambda: cv2.imdecode(jpeg, cv2.IMREAD_COLOR), repeats),
        "four styles": cpu(lambda: render_agnostic_masks(*person), repeats),
    }
    for style in STYLES:
        found[style] = cpu(lambda style=style: render_agnostic_mask(*person, style=style), repeats)
    if labels is not None:
        photo = read_image(record.image, size_hw)
        found["with the photo"] = cpu(lambda: render_agnostic_mask(*person, photo=photo), repeats)
        found["plain way"] = cpu(
            lambda: plain_mask(record.category, keypoints, labels), max(3, repeats // 5)
        )
        mask = render_agnostic_mask(*person)
        found["scoring"] = cpu(lambda: score_mask(*person, mask), max(3, repeats // 5))
    return found


def ratios(times: dict[str, float], size_hw: tuple[int, int]) -> dict[str, float]:
    """The promises as ratios; each is kept where it is at most 1."""
    part = 1.0 if size_hw == SIZES[0] else 0.5
    decode, nan = part * times["decode"], float("nan")
    return {
        f"standard / ({part:g} x decode)": times["standard"] / decode,
        f"with the photo / ({part:g} x decode)": times.get("with the photo", nan) / decode,
        "four styles / (2 x standard)": times["four styles"] / (2 * times["standard"]),
        "standard / plain way": times["standard"] / times.get("plain way", nan),
    }


@click.command(help=__doc__)
@click.argument(
    "data", required=False, type=click.Path(exists=True, file_okay=False, path_type=Path)
)
@click.option(
    "--people", default=8, show_default=True, type=click.IntRange(1), help="People per category."
)
@click.option(
    "--repeats",
    default=21,
    show_default=True,
    type=click.IntRange(3),
    help="Calls per person and work.",
)
@click.option(
    "--json",
    "json_path",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Write the figures here.",
)
def main(data: Path | None, people: int, repeats: int, json_path: Path | None) -> None:
    cv2.setNumThreads(1)
    with tempfile.TemporaryDirectory() as folder:
        if data is None:
            from pipeline.sample import make_sample

            click.echo(f"making a sample of {people} people per category", err=True)
            data = make_sample(Path(folder) / "sample", people, SIZES[0]).out
        present = [c for c in Category if (data / str(c)).is_dir()]
        records = index_pairs(data, categories=present, limit=people)
        report = {}
        for size_hw in SIZES:
            rows = [measure(record, size_hw, repeats) for record in records]
            times = {
                name: statistics.median(r[name] for r in rows if name in r) for name in rows[0]
            }
            name = f"{size_hw[0]}x{size_hw[1]}"
            report[name] = {"cpu_ms": times, "ratios": ratios(times, size_hw), "people": len(rows)}
            click.echo(f"\n{name}, {len(rows)} people, median CPU time")
            for work, value in times.items():
                click.echo(f"  {work:32s}{value:9.2f} ms")
            for promise, value in report[name]["ratios"].items():
                click.echo(f"  {promise:32s}{value:9.2f}")
    if json_path:
        json_path.write_text(json.dumps(report, indent=1) + "\n")


if __name__ == "__main__":
    main()
