"""What a rule's numbers can reach on a dataset: a search for masks that hold all goals of a
category at once.

    python benchmarks/mask_goals.py CATEGORY [DATA ...]

The lengths of the style ``standard`` are varied (small random steps from the best so far; a score
counts by how far it lies beyond its goal), every trial is scored on all people, and at the end
stands the nearest to all goals. DATA are folders in Dress Code's layout; without them synthetic
people are made. A search of one's own style starts here: goals and ranges are the tables below.
Judge what comes out on other people (benchmarks/mask_styles.py).
"""

from __future__ import annotations

import sys
import tempfile
import time
from dataclasses import astuple, replace
from pathlib import Path

import click
import cv2
import numpy as np

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent)]

from mask_styles import SIZE, Sitter, laid, read_sitters  # noqa: E402

from pipeline.base.labels import Category  # noqa: E402
from pipeline.masks.layers import Layers  # noqa: E402
from pipeline.masks.render import render  # noqa: E402
from pipeline.masks.rules import RULES, Rule  # noqa: E402

GOALS = {
    Category.UPPER_BODY: {"spill": 0.75, "hug": 0.42, "cf": 0.010, "room": 0.030},
    Category.LOWER_BODY: {"spill": 1.80, "hug": 0.24, "cf": 0.004, "room": 0.010},
    Category.DRESSES: {"spill": 2.30, "hug": 0.25, "cf": 0.008, "room": 0.020},
}
"""Means that are wanted at most. The scores that are not here hold by how masks are drawn."""
RANGES = {
    "arms": ((0.1, 0.4), (0.1, 0.5), (0.08, 0.4)),
    "trunk": ((0.0, 0.3), (-0.05, 0.5), (0.05, 0.6), (0.05, 0.3)),
    "legs": ((0.0, 0.3), (0.1, 0.6), (0.15, 0.5), (0.1, 0.4)),
    "skirt": ((0.4, 1.0), (0.4, 1.0), (0.3, 1.0), (0.15, 0.8), (0.0, 1.0)),
}
"""Field of ``Rule`` -> least and most of each of its numbers."""
STEP, LEAST_STEP, MOST_STEP = 0.06, 0.012, 0.15


class Search:
    """Scores rules on everybody."""

    def __init__(self, category: Category, people: list[Sitter], margin: float = 0.0):
        goals = {name: goal * (1 - margin) for name, goal in GOALS[category].items()}
        self.category, self.goals, self.people = category, goals, people
        self.others = [laid(sitter, people) for sitter in people]
        self.standard = RULES[category, "standard"]
        self.fields = [name for name in RANGES if getattr(self.standard, name)]
        ranges = [bound for name in self.fields for bound in RANGES[name]]
        self.low, self.high = np.array(ranges).T
        numbers = [n for name in self.fields for n in astuple(getattr(self.standard, name))]
        self.start = np.clip(numbers, self.low, self.high)

    def rule(self, numbers: np.ndarray) -> Rule:
        left = numbers.tolist()
        shapes = {}
        for name in self.fields:
            values = [left.pop(0) for _ in RANGES[name]]
            shapes[name] = type(getattr(self.standard, name))(*values)
        return replace(self.standard, **shapes)

    def means(self, rule: Rule) -> dict[str, float]:
        rows = []
        for sitter, room in zip(self.people, self.others):

            def draw(labels: np.ndarray, sitter: Sitter = sitter) -> np.ndarray:
                mask = np.empty(SIZE, bool)
                render(Layers(sitter.keypoints, sitter.dense, labels, rule), rule, mask)
                return mask

            rows.append(sitter.scores(draw, room))
        return {
            name: float(np.nanmean([row.get(name, np.nan) for row in rows])) for name in self.goals
        }

    def beyond(self, means: dict[str, float]) -> float:
        """How far scores lie beyond their goals, as shares of these, in squares; a little for
        every score, so that the search goes on where all hold."""
        shares = [means[name] / goal for name, goal in self.goals.items()]
        return sum(max(0.0, share - 1) ** 2 + 0.001 * share for share in shares)

    def run(self, seconds: float, seed: int) -> tuple[int, np.ndarray]:
        """Number of trials, and the best numbers."""
        rng, best = np.random.default_rng(seed), self.start
        least, step, trials = self.beyond(self.means(self.rule(best))), STEP, 1
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            some = rng.random(len(best)) < 0.5
            tried = np.clip(best + some * rng.normal(0, step, len(best)), self.low, self.high)
            beyond = self.beyond(self.means(self.rule(tried)))
            trials += 1
            if beyond < least:
                best, least, step = tried, beyond, min(step * 1.3, MOST_STEP)
            else:
                step = max(step * 0.97, LEAST_STEP)
        return trials, best


def show(name: str, means: dict[str, float]) -> None:
    click.echo(f"{name:20}" + "  ".join(f"{score} {value:.4f}" for score, value in means.items()))


@click.command(help=__doc__)
@click.argument("category", type=click.Choice([str(category) for category in Category]))
@click.argument("data", nargs=-1, type=click.Path(exists=True, path_type=Path))
@click.option("--people", "limit", default=40, show_default=True, help="Of each DATA.")
@click.option("--seconds", default=300.0, show_default=True, help="How long to search.")
@click.option(
    "--margin", default=0.0, show_default=True, help="Part that goals are to be bettered by."
)
@click.option("--seed", default=0, show_default=True)
def main(
    category: str, data: tuple[Path, ...], limit: int, seconds: float, margin: float, seed: int
) -> None:
    cv2.setNumThreads(1)
    chosen = Category(category)
    with tempfile.TemporaryDirectory() as place:
        if not data:
            from pipeline.sample import make_sample

            made = make_sample(Path(place) / "sample", limit, SIZE, categories=(chosen,))
            data = (made.out,)
        people = [sitter for root in data for sitter in read_sitters(root, chosen, limit)]
    if not people:
        raise click.ClickException(f"nobody of {category} with a label map in DATA")
    search = Search(chosen, people, margin)
    trials, best = search.run(seconds, seed)
    click.echo(f"{category}, {len(people)} people, {trials} rules")
    show("goals", search.goals)
    show("standard", search.means(search.standard))
    show("nearest to all", search.means(search.rule(best)))
    for name in search.fields:
        click.echo(f"  {getattr(search.rule(best.round(3)), name)}")


if __name__ == "__main__":
    main()
