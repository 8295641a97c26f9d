"""What a rule's numbers can reach on a dataset: a search for masks that hold all goals of a
category at once.

    python benchmarks/mask_goals.py CATEGORY [DATA ...]

The numbers of the style ``standard`` are varied (differential evolution; a score counts by how far
it lies beyond its goal), every trial is scored on all people of each DATA, and at the end stand the
trial nearest to all goals and, for each score alone, the least that was seen while the others held.
The goals are for the mean of every DATA by itself: the highest counts. DATA are folders in Dress
    Code's layout; without them synthetic people are made. A search of one's own
style starts here: goals and ranges are the tables below.
"""

from __future__ import annotations

import json
import math
import os
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import chain, islice
from multiprocessing import get_context
from multiprocessing.pool import Pool
from pathlib import Path
from typing import Any

import click
import cv2
import numpy as np
from scipy.optimize import differential_evolution

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from pipeline.base.errors import DataError  # noqa: E402
from pipeline.base.labels import Category  # noqa: E402
from pipeline.dataset.index import index_pairs  # noqa: E402
from pipeline.dataset.readers import read_dense, read_keypoints, read_label_map  # noqa: E402
from pipeline.inspect.scores import score_mask  # noqa: E402
from pipeline.masks.render import Scene  # noqa: E402
from pipeline.masks.rules import RULES, Rule  # noqa: E402

SIZE = (512, 384)
GOALS = {
    Category.UPPER_BODY: {"excess": 0.40, "hug": 0.42},
    Category.LOWER_BODY: {"excess": 1.22, "hug": 0.24, "cf": 0.004, "bare": 0.010},
    Category.DRESSES: {"excess": 0.48, "hug": 0.26, "cf": 0.010, "bare": 0.010},
}
"""Means that are wanted at most. Bare: what stays visible of the legs or of the gap between them,
the larger share. The scores that are not here hold by how masks are drawn."""
RANGES = {
    "arms": ((0.05, 0.2), (0.05, 0.25), (0.05, 0.3)),
    "trunk": ((-0.05, 0.15), (-0.1, 0.2), (0.0, 0.3), (0.0, 0.3)),
    "legs": ((0.0, 0.3), (0.0, 0.6), (0.0, 0.6), (0.0, 0.5)),
    "sway": ((0.0, 0.3), (0.0, 0.4)),
    "flare": ((0.3, 1.6), (0.0, 1.0), (0.3, 1.0)),
    "ample": ((0.2, 0.5), (0.0, 6.0), (0.8, 2.0)),
    "grow": ((0.01, 0.1), (0.02, 0.3)),
}
"""Field of ``Rule`` -> least and most of each of its numbers, in body units where they are
lengths."""
OF_LEGS = ("sway", "flare", "ample")
"""Those that mean nothing in a rule without legs."""
POPULATION, SPREAD = 40, 0.2
"""Rules that are bred from one another; how far they lie apart at first, as shares of the
ranges."""


@dataclass(frozen=True)
class Seen:
    """One person's annotations at the size of the search."""

    keypoints: np.ndarray
    dense: np.ndarray | None
    labels: np.ndarray


def people(root: Path, category: Category, limit: int) -> list[Seen]:
    """The training people of a category, or all where there are no others, that have a label map.
    Raises DataError."""
    pairs = [pair for pair in index_pairs(root) if pair.category is category and pair.label_map]
    if not pairs:
        raise DataError(root, f"no people of {category} with a label map", "at least one")
    training = [pair for pair in pairs if pair.split == "train"] or pairs
    return [
        Seen(
            read_keypoints(pair.keypoints, SIZE),
            read_dense(pair.dense, SIZE) if pair.dense else None,
            read_label_map(pair.label_map, SIZE),
        )
        for pair in training[:limit]
    ]  # type: ignore[arg-type]


def drawn(rule: Rule, seen: Seen, labels: np.ndarray) -> np.ndarray:
    mask = np.empty(SIZE, bool)
    Scene(seen.keypoints, seen.dense, labels).render(rule, mask)
    return mask


def score(category: Category, rule: Rule, seen: Seen) -> dict[str, float]:
    return score_mask(
        category,
        seen.keypoints,
        seen.dense,
        seen.labels,
        drawn(rule, seen, seen.labels),
        partial(drawn, rule, seen),
    )


def means_of(scores: Sequence[dict[str, float]]) -> dict[str, float]:
    """Means of what ``GOALS`` names; people who give no ground for a score don't count in it."""
    found = {}
    for name in ("excess", "hug", "cf", "cov_leg", "cov_gap"):
        values = [row[name] for row in scores if not math.isnan(row.get(name, math.nan))]
        found[name] = float(np.mean(values)) if values else math.nan
    hidden = [found.pop(name) for name in ("cov_leg", "cov_gap")]
    return found | {
        "bare": max((1 - share for share in hidden if not math.isnan(share)), default=0.0)
    }


class Trials:
    """Scores rules on everybody and remembers what it saw."""

    def __init__(self, category: Category, folders: Sequence[Sequence[Seen]]):
        self.category, self.goals, self.folders = category, GOALS[category], folders
        standard = RULES[category, "standard"]
        self.fields = [
            name
            for name in RANGES
            if getattr(standard, name) and (standard.legs or name not in OF_LEGS)
        ]
        self.seen: list[tuple[dict[str, float], Rule]] = []

    @property
    def bounds(self) -> list[tuple[float, float]]:
        return [bound for name in self.fields for bound in RANGES[name]]

    @property
    def start(self) -> list[float]:
        numbers = [
            value
            for name in self.fields
            for value in getattr(RULES[self.category, "standard"], name)
        ]
        return [min(max(value, low), high) for value, (low, high) in zip(numbers, self.bounds)]

    def spread(self, seed: int) -> np.ndarray:
        """(POPULATION, n): where the search begins, the rule as it is and others around it."""
        low, high = np.array(self.bounds).T
        far = np.random.default_rng(seed).normal(0, SPREAD, (POPULATION, len(low)))
        far[0] = 0
        return np.clip(self.start + far * (high - low), low, high)

    def rule(self, numbers: Sequence[float] | np.ndarray) -> Rule:
        left = [float(number) for number in numbers]
        fields: dict[str, Any] = {}
        for name in self.fields:
            fields[name] = tuple(left.pop(0) for _ in RANGES[name])
        return replace(RULES[self.category, "standard"], **fields)

    def __call__(self, numbers: np.ndarray, pool: Pool) -> float:
        """``beyond`` of a rule's scores."""
        rule = self.rule(numbers)
        rows = iter(
            pool.map(partial(score, self.category, rule), chain(*self.folders), chunksize=8)
        )
        folders = [means_of(list(islice(rows, len(folder)))) for folder in self.folders]
        self.seen.append(
            ({name: max(means[name] for means in folders) for name in self.goals}, rule)
        )
        return self.beyond(self.seen[-1][0])

    def beyond(self, means: dict[str, float]) -> float:
        """How far scores lie beyond their goals, as shares of these, in sum; 0 where all hold."""
        return sum(max(0.0, means[name] / goal - 1) for name, goal in self.goals.items())

    def nearest(self) -> tuple[dict[str, float], Rule]:
        return min(self.seen, key=lambda trial: self.beyond(trial[0]))

    def least(self, name: str) -> dict[str, float] | None:
        """The scores of the trial with the least of one score among those where the other goals
        hold."""
        held = [
            means
            for means, _ in self.seen
            if all(means[other] <= goal for other, goal in self.goals.items() if other != name)
        ]
        return min(held, key=lambda means: means[name]) if held else None


def show(trials: Trials, first: dict[str, float]) -> None:
    def line(means: dict[str, float] | None) -> str:
        return (
            "none"
            if means is None
            else "  ".join(f"{name} {value:.3f}" for name, value in means.items())
        )

    click.echo(
        f"{trials.category}, {' + '.join(str(len(folder)) for folder in trials.folders)} people, "
        f"{len(trials.seen)} rules"
    )
    for name, means in (
        ("goals", trials.goals),
        ("standard", first),
        ("nearest to all", trials.nearest()[0]),
        *((f"least {name}, others held", trials.least(name)) for name in trials.goals),
    ):
        click.echo(f"{name:28}{line(means)}")
    rule = trials.nearest()[1]
    click.echo(
        "nearest: "
        + ", ".join(
            f"{name}={tuple(round(v, 3) for v in getattr(rule, name))}" for name in trials.fields
        )
    )


def one_thread() -> None:
    cv2.setNumThreads(1)


@click.command()
@click.argument("category", type=click.Choice([str(category) for category in Category]))
@click.argument("data", nargs=-1, type=click.Path(exists=True, path_type=Path))
@click.option("--people", "limit", default=60, show_default=True, help="Of each DATA.")
@click.option("--generations", default=12, show_default=True)
@click.option("--seed", default=0, show_default=True)
@click.option(
    "--json", "json_path", type=click.Path(path_type=Path), help="Every trial: scores and rule."
)
def main(
    category: str,
    data: tuple[Path, ...],
    limit: int,
    generations: int,
    seed: int,
    json_path: Path | None,
) -> None:
    """Searches a rule of CATEGORY that holds all goals on DATA."""
    with tempfile.TemporaryDirectory() as place:
        if not data:
            from pipeline.sample import make_sample

            make_sample(
                Path(place) / "sample", pairs=limit, size_hw=SIZE, categories=(Category(category),)
            )
            data = (Path(place) / "sample",)
        try:
            folders = [people(root, Category(category), limit) for root in data]
        except DataError as error:
            raise click.ClickException(str(error)) from error
    trials = Trials(Category(category), folders)
    with get_context("forkserver").Pool(os.cpu_count(), one_thread) as pool:
        trials(np.array(trials.start), pool)
        first = trials.seen[0][0]
        differential_evolution(
            trials,
            trials.bounds,
            args=(pool,),
            init=trials.spread(seed),
            seed=seed,
            maxiter=generations,
            polish=False,
            mutation=(0.3, 0.9),
        )
    show(trials, first)
    if json_path:
        tried = [
            {"scores": means, "rule": {name: getattr(rule, name) for name in trials.fields}}
            for means, rule in trials.seen
        ]
        json_path.write_text(json.dumps(tried, indent=1))


if __name__ == "__main__":
    main()
