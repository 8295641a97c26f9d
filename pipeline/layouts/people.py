"""Who is exported: the people of a source, split by split, and the size that they get."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from pipeline.base.errors import DataError
from pipeline.base.labels import Category
from pipeline.base.manifest import load_manifest
from pipeline.layouts.tables import Layout
from pipeline.masks.styles import ALL_STYLES
from pipeline.people.open import open_people
from pipeline.people.source import People


def check_style(style: str) -> None:
    """DataError where there is no such mask style."""
    if style not in ALL_STYLES:
        raise DataError("--style", f"{style!r}", f"one of {', '.join(ALL_STYLES)}")


def source_people(
    source: Path,
    categories: Sequence[Category],
    splits: Sequence[str] = (),
    limit: int | None = None,
    size_hw: tuple[int, int] | None = None,
) -> dict[str, People]:
    """Split -> its people, from a dataset or from shards.

    Args:
        splits: of a dataset; all lists that are there by default.
        size_hw: at which a dataset is read; the size of its photos by default.

    Raises:
        DataError: nobody there, or not of this split.
    """
    if (source / "index.json").is_file():
        people = open_people(source, categories, splits[0] if splits else None, limit=limit)
        return {people.names[0].split: people}
    size = size_hw or load_manifest().image_hw
    found: dict[str, People] = {}
    error: DataError | None = None
    for split in splits or load_manifest().splits:
        try:
            found[split] = open_people(source, categories, split, size, limit)
        except DataError as problem:
            if splits:
                raise
            error = error or problem  # a slice may lack a list
    if not found:
        raise error or DataError(source, "no people")
    return found


def output_size(
    people: dict[str, People], layout: Layout, asked: tuple[int, int] | None
) -> tuple[int, int]:
    """Height and width of everything that is written.

    Raises:
        DataError: the reader demands another size than the one asked for.
    """
    if layout.size_hw and asked not in (None, layout.size_hw):
        height, width = layout.size_hw
        raise DataError(
            "--size",
            f"{asked[0]}x{asked[1]}",
            f"{height}x{width}: {layout.readers} takes no other",
            "Leave --size out",
        )
    return asked or layout.size_hw or next(iter(people.values())).size_hw
