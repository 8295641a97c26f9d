"""How good the masks of every style are, the recipes of other projects included, and what wrong
labels do to them: the tables of docs/masks.md.

    python benchmarks/mask_styles.py [DATA ...]

DATA are folders in Dress Code's layout, whose people are scored together; without them synthetic
people are made. Beside the scores of ``inspect-mask`` there are two: ``spill`` is what is hidden
beside the garment, in square body units (about the width of the shoulders), and ``room`` the mean
share of other people's garments of the category, laid on this body by shift and scale, that would
not fit under the mask. Wrong labels: the whole garment or a part of it bears the class that the
category protects; told is how much of it stays visible, with masks that see labels and joints
alone and with masks that see the photo as well.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import click
import cv2
import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from pipeline.base.errors import DataError  # noqa: E402
from pipeline.base.labels import GARMENT_LABELS, Atr, Category, Joint, is_in  # noqa: E402
from pipeline.dataset.index import index_pairs  # noqa: E402
from pipeline.dataset.readers import (  # noqa: E402
    read_dense,
    read_image,
    read_keypoints,
    read_label_map,
)
from pipeline.inspect.score_zones import find_zones  # noqa: E402
from pipeline.inspect.scores import score_mask  # noqa: E402
from pipeline.masks.body import Body, find_body  # noqa: E402
from pipeline.masks.peers import knows  # noqa: E402
from pipeline.masks.render import render_agnostic_mask  # noqa: E402
from pipeline.masks.styles import ALL_STYLES, PEER_STYLES  # noqa: E402

SIZE = (512, 384)
COLUMNS = ("leak", "ring", "id", "id_min", "spill", "hug", "cf", "room")
LEAST_ROOM = 125
"""Pixels below which a garment laid on another body counts for nothing."""
WRONG = {Category.UPPER_BODY: Atr.PANTS, Category.LOWER_BODY: Atr.UPPER_CLOTHES}
"""What a parser calls a garment of the category by mistake."""


@dataclass(frozen=True)
class Sitter:
    """One person's annotations, and what the scores need of them.

    Attributes:
        garment: (H, W) bool.
        body: completed joints.
        anchors: the two points that garments are laid on this body by.
        photo: (H, W, 3) uint8 RGB.
    """

    category: Category
    keypoints: np.ndarray
    dense: np.ndarray | None
    labels: np.ndarray
    garment: np.ndarray
    body: Body
    anchors: tuple[np.ndarray, np.ndarray]
    photo: np.ndarray

    def mask(
        self, labels: np.ndarray, style: str = "standard", photo: np.ndarray | None = None
    ) -> np.ndarray:
        """The mask that a label map gives, by labels alone unless there is a photo."""
        sources = self.keypoints, self.dense, labels
        return render_agnostic_mask(self.category, *sources, style, photo)

    def scores(
        self, draw: Callable[[np.ndarray], np.ndarray], others: np.ndarray
    ) -> dict[str, float]:
        """All scores of the mask that ``draw`` makes of a label map; ``others`` from ``laid``."""
        mask = draw(self.labels)
        row = score_mask(self.category, self.keypoints, self.dense, self.labels, mask, draw)
        row["spill"] = row["excess"] * self.garment.sum() / self.body.unit**2
        row["room"] = float(others[~mask].sum())
        return row


def read_sitters(root: Path, category: Category, limit: int) -> Iterator[Sitter]:
    """The first training people of a category that have joints, a label map and the garment."""
    for pair in index_pairs(root, categories=[category], limit=limit):
        if not pair.label_map:
            continue
        keypoints = read_keypoints(pair.keypoints, SIZE)
        labels = read_label_map(pair.label_map, SIZE)
        dense = read_dense(pair.dense, SIZE) if pair.dense else None
        photo = read_image(pair.image, SIZE)
        body = find_body(keypoints[:, :2], SIZE, dense, labels)
        garment = is_in(labels, GARMENT_LABELS[category])
        if body is None or not garment.any() or np.isnan(keypoints[8:14]).any():
            continue
        points = body.joints
        ankles = (points[Joint.R_ANKLE] + points[Joint.L_ANKLE]) / 2
        first = body.hips if category is Category.LOWER_BODY else body.shoulders
        last = body.hips if category is Category.UPPER_BODY else ankles
        yield Sitter(category, keypoints, dense, labels, garment, body, (first, last), photo)


def laid(sitter: Sitter, donors: Sequence[Sitter]) -> np.ndarray:
    """(H, W) float64: the donors' garments on this body, each with sum 1 / their number, off what
    must stay visible."""
    zones = find_zones(sitter.category, sitter.keypoints, sitter.dense, sitter.labels)
    assert zones is not None
    free = ~zones.identity
    if sitter.category is not Category.UPPER_BODY:  # shoes have no room for a hem
        free[max(int(sitter.anchors[1][1] + 0.05 * sitter.body.unit), 0) :] = False
    total, number = np.zeros(SIZE), 0
    for donor in donors:
        (a, b), (c, d) = sitter.anchors, donor.anchors
        scale = np.linalg.norm(b - a) / max(np.linalg.norm(d - c), 1.0)
        move = np.array([[scale, 0, a[0] - scale * c[0]], [0, scale, a[1] - scale * c[1]]])
        garment = cv2.warpAffine(donor.garment.view(np.uint8), move, SIZE[::-1], flags=0) > 0
        garment &= free
        if donor is not sitter and garment.sum() > LEAST_ROOM:
            total += garment / garment.sum()
            number += 1
    return total / max(number, 1)


def table(people: Sequence[Sitter], styles: Sequence[str]) -> Iterator[str]:
    """Markdown rows: the means of one category, a style a row."""
    category, others = people[0].category, [laid(sitter, people) for sitter in people]
    for style in styles:
        if style in PEER_STYLES and not knows(style, category):
            continue
        rows = []
        for sitter, room in zip(people, others):

            def draw(labels: np.ndarray, sitter=sitter, style=style) -> np.ndarray:
                return sitter.mask(labels, style, sitter.photo)

            rows.append(sitter.scores(draw, room))
        means = (np.nanmean([row.get(column, np.nan) for row in rows]) for column in COLUMNS)
        yield f"| {category} | `{style}` | " + " | ".join(map(figure, means)) + " |"


def figure(value: float) -> str:
    return f"{value:.3f}".lstrip("0") if abs(value - round(value)) > 5e-4 else str(round(value))


def parts(garment: np.ndarray) -> dict[str, np.ndarray]:
    """Name -> (H, W) bool: what of a garment bears the wrong class."""
    rows, columns = np.indices(garment.shape)
    x, y, width, height = cv2.boundingRect(garment.view(np.uint8))
    down, across = (rows - y) / height, (columns - x) / width
    return {
        "whole": garment,
        "left half": garment & (across < 0.5),
        "right half": garment & (across >= 0.5),
        "upper half": garment & (down < 0.5),
        "lower half": garment & (down >= 0.5),
        "upper third": garment & (down < 1 / 3),
        "middle third": garment & (down >= 1 / 3) & (down < 2 / 3),
        "lower third": garment & (down >= 2 / 3),
        "top fifth": garment & (down < 0.2),
    }


def wrong_table(people: Sequence[Sitter]) -> Iterator[str]:
    """Markdown rows: what stays visible of a garment where its label is wrong, by labels and joints
    alone and with the photo."""
    category = people[0].category
    visible: dict[str, list[tuple[float, ...]]] = {}
    hidden = []
    for sitter in people:
        seen = None, sitter.photo
        for name, part in parts(sitter.garment).items():
            labels = sitter.labels.copy()
            labels[part] = WRONG[category]
            shown = [sitter.garment & ~sitter.mask(labels, photo=photo) for photo in seen]
            shares = tuple(float(left.sum() / sitter.garment.sum()) for left in shown)
            visible.setdefault(name, []).append(shares)
        doubted = sitter.labels == WRONG[category]
        masks = [sitter.mask(sitter.labels, photo=photo) for photo in seen]
        hidden.append([bool((mask & doubted).any()) for mask in masks])
    for name, found in visible.items():
        rows = np.array(found)
        told = zip(rows.mean(0), rows.max(0), (rows > 0.15).mean(0))
        figures = [figure(value) for way in told for value in way]
        yield f"| {category} | {name} | " + " | ".join(figures) + " |"
    alone, with_photo = map(figure, np.mean(hidden, 0))
    told = f"{alone} | | | {with_photo} | | |"
    yield f"| {category} | nothing wrong: people whose other clothes are hidden | {told}"


@click.command(help=__doc__)
@click.argument("data", nargs=-1, type=click.Path(exists=True, path_type=Path))
@click.option("--people", "limit", default=80, show_default=True, help="Of each category and DATA.")
@click.option("--seed", default=4242, show_default=True, help="Of the people that are made.")
@click.option("--style", "styles", multiple=True, type=click.Choice(ALL_STYLES), default=ALL_STYLES)
def main(data: tuple[Path, ...], limit: int, seed: int, styles: tuple[str, ...]) -> None:
    cv2.setNumThreads(1)
    with tempfile.TemporaryDirectory() as place:
        if not data:
            from pipeline.sample import make_sample

            click.echo(f"making a sample of {limit} people per category", err=True)
            data = (make_sample(Path(place) / "sample", limit, SIZE, seed=seed).out,)
        crowds = []
        for category in Category:
            try:
                found = [s for root in data for s in read_sitters(root, category, limit)]
            except DataError as error:
                raise click.ClickException(str(error)) from error
            crowds += [found] if found else []
    click.echo("| category | style | " + " | ".join(COLUMNS) + " |")
    click.echo("|---|---|" + "---|" * len(COLUMNS))
    for people in crowds:
        for line in table(people, styles):
            click.echo(line)
    columns = "mean | worst | people above .15"
    click.echo(f"\n| category | wrong part | visible: {columns} | with the photo: {columns} |")
    click.echo("|---|---|---|---|---|---|---|---|")
    for people in crowds:
        if people[0].category in WRONG:
            for line in wrong_table(people):
                click.echo(line)
    click.echo(f"\n{', '.join(str(len(people)) for people in crowds)} people")


if __name__ == "__main__":
    main()
