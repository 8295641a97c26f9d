"""People per core-second that ``make-sample`` draws at 1024 x 768: ``python
benchmarks/sample.py``."""

from __future__ import annotations

import sys
import time
from pathlib import Path

import click
import cv2

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from pipeline.base.labels import Category  # noqa: E402
from pipeline.sample import person_files, sample_ids  # noqa: E402


@click.command()
@click.option("--people", default=20, show_default=True, help="People per category.")
@click.option(
    "--size",
    type=(int, int),
    default=(1024, 768),
    show_default=True,
    help="Height and width in pixels.",
)
def command(people: int, size: tuple[int, int]) -> None:
    """Draws and encodes people in memory on one core, and prints the CPU time of each."""
    cv2.setNumThreads(1)
    person_files(
        Category.DRESSES, sample_ids(Category.DRESSES, "train", 1)[0], 1, size
    )  # folds and grain, once
    work = [
        (category, person)
        for category in Category
        for person in sample_ids(category, "train", people)
    ]
    begun = time.process_time()
    total = sum(
        len(data)
        for category, person in work
        for data in person_files(category, person, 0, size).values()
    )
    spent = time.process_time() - begun
    click.echo(
        f"{len(work)} people of {size[0]}x{size[1]}: {len(work) / spent:.1f} per core-second, "
        f"{1000 * spent / len(work):.0f} ms and {total / len(work) / 1e6:.2f} MB each"
    )


if __name__ == "__main__":
    command()
