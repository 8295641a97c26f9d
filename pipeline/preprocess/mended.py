"""Masks and label maps that people mended, in place of drawn masks and the dataset's maps.

A folder of PNGs: ``masks/STYLE/CATEGORY-PERSON.png`` and ``label_maps/CATEGORY-PERSON.png``, as
``pipeline.labelling`` writes and unpacks them.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from pipeline.base.errors import DataError
from pipeline.base.labels import Category
from pipeline.base.names import MENDED_LABEL_MAPS as LABEL_MAPS
from pipeline.base.names import MENDED_MASKS as MASKS
from pipeline.dataset.index import PairRecord
from pipeline.dataset.readers import read_mask

LISTED = 3


def with_mended(pair: PairRecord, folder: Path, styles: Sequence[str]) -> PairRecord:
    """The record with the folder's files in it: a mended label map instead of the dataset's, and
    the masks of ``styles`` that are there."""
    name = f"{pair.category}-{pair.person_id}.png"
    places = ((style, folder / MASKS / style / name) for style in styles)
    masks = tuple((style, path) for style, path in places if path.is_file())
    labels = folder / LABEL_MAPS / name
    label_map = labels if labels.is_file() else pair.label_map
    return replace(pair, mended=masks, label_map=label_map)


def is_mended(pair: PairRecord, folder: Path) -> bool:
    """Whether anything of the person comes from the folder."""
    return bool(pair.mended) or (pair.label_map is not None and folder in pair.label_map.parents)


def take_mended(pair: PairRecord, masks: dict[str, np.ndarray], size_hw: tuple[int, int]) -> None:
    """Puts the pair's mended masks in the place of drawn ones.

    Args:
        masks: style -> (H, W) bool, True = hidden; changed.

    Raises:
        DataError: a file is bad, or hides what it should show and the other way round.
    """
    for style, path in pair.mended:
        mask = read_mask(path, size_hw)
        if _is_turned(mask, masks[style]):
            raise DataError(
                path,
                f"{mask.mean():.0%} of the picture is hidden, what is usually shown",
                "white = hidden, black = shown",
                "Turn black and white round",
            )
        masks[style] = mask


def _is_turned(mask: np.ndarray, drawn: np.ndarray) -> bool:
    """Whether hidden and shown seem to have changed places: most of the picture's border is hidden,
    and what is shown is more like the drawn mask. The second alone also holds for a mask that was
    made much smaller."""
    border = np.concatenate([mask[0], mask[-1], mask[:, 0], mask[:, -1]])
    return bool(border.mean() > 0.5 and _iou(mask, drawn) < _iou(~mask, drawn))


def _iou(one: np.ndarray, other: np.ndarray) -> float:
    return float((one & other).sum() / max(1, (one | other).sum()))


def check_folder(
    folder: Path, people: Iterable[tuple[Category, str]], styles: Collection[str]
) -> list[str]:
    """What in the folder will not be used, as sentences for people.

    Args:
        people: all that are packed.
        styles: that are packed.

    Raises:
        DataError: there is no such folder, or nothing in it that could be used.
    """
    if not folder.is_dir():
        raise DataError(folder, "no such folder", "masks/STYLE/CATEGORY-PERSON.png in it")
    known = {f"{category}-{person_id}" for category, person_id in people}
    files = sorted([*folder.glob(f"{MASKS}/*/*.png"), *folder.glob(f"{LABEL_MAPS}/*.png")])
    if not files:
        expected = f"{MASKS}/STYLE/CATEGORY-PERSON.png or {LABEL_MAPS}/CATEGORY-PERSON.png in it"
        remedy = "inspect-mask --export fiftyone writes such a folder"
        raise DataError(folder, "no mended pictures", expected, remedy)
    found = []
    strangers = [path.name for path in files if path.stem not in known]
    if strangers:
        rest = ", ..." if len(strangers) > LISTED else ""
        named = ", ".join(strangers[:LISTED]) + rest
        found.append(f"{len(strangers):,} files are of nobody who is packed: {named}")
    other = {path.parent.name for path in files if path.parent.parent.name == MASKS}
    if unused := sorted(other - set(styles)):
        found.append(f"masks of style {', '.join(unused)} are not packed (--mask-style)")
    return found
