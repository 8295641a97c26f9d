"""PreprocessConfig: every choice that decides the bytes of a preprocessing run."""

from __future__ import annotations

from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeline.base.errors import DataError
from pipeline.base.labels import Category
from pipeline.base.names import (
    DEFAULT_HW,
    FRAMES,
    IMAGE_KINDS,
    MAX_SIDE,
    SIZE_MULTIPLE,
    SPLITS,
    TRAIN,
    WHOLE,
)
from pipeline.masks.styles import ALL_STYLES, STYLES


@dataclass(frozen=True)
class PreprocessConfig:
    """What is packed, and how; where it runs and how many bad pairs it bears is told to the run.

    Attributes:
        categories: which to pack, of those that are there.
        split: of ``names.SPLITS``.
        limit: at most so many people per category, among those that are there; None takes all.
        size_hw: height and width of everything in the shards, multiples of 32.
        images: ``jpeg`` or ``raw``.
        styles: of masks, in the order of the shards.
        exclude: what ``index.read_exclude`` returns.
        people_per_shard: must not depend on the machine.
        flows: pack the flows of drawn people too.
        frame: of ``names.FRAMES``: whole photos, or the part around the garment.
        masks: a folder of mended masks and label maps (``mended``); None has none. It is no part
            of the configuration that a folder of shards remembers: what changes with it is found
            by the files.

    Raises:
        DataError: a value out of range.
    """

    categories: tuple[Category, ...] = tuple(Category)
    split: str = TRAIN
    limit: int | None = None
    size_hw: tuple[int, int] = DEFAULT_HW
    images: str = IMAGE_KINDS[0]
    styles: tuple[str, ...] = STYLES
    exclude: AbstractSet[Any] = frozenset()
    people_per_shard: int = 128
    flows: bool = False
    frame: str = WHOLE
    masks: Path | None = None

    def __post_init__(self) -> None:
        if any(not 0 < n <= MAX_SIDE or n % SIZE_MULTIPLE for n in self.size_hw):
            raise DataError(
                "size",
                "{}x{}".format(*self.size_hw),
                f"multiples of {SIZE_MULTIPLE} up to {MAX_SIDE}",
                "Choose another size, such as {}x{}".format(*DEFAULT_HW),
            )
        if self.split not in SPLITS:
            raise DataError("--split", f"{self.split!r}", " or ".join(SPLITS))
        if self.images not in IMAGE_KINDS:
            raise DataError("images", repr(self.images), " or ".join(IMAGE_KINDS))
        if self.frame not in FRAMES:
            raise DataError("frame", repr(self.frame), " or ".join(FRAMES))
        if unknown := [style for style in self.styles if style not in ALL_STYLES]:
            raise DataError("styles", ", ".join(map(repr, unknown)), " or ".join(ALL_STYLES))
        if not self.styles or self.people_per_shard < 1:
            found = "no mask style, or no people in a shard"
            raise DataError("options", found, "at least one of each")
