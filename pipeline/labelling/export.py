"""People -> a folder that a labelling tool imports: photos, and their masks and label maps."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.base.errors import DataError
from pipeline.base.names import MENDED_LABEL_MAPS, MENDED_MASKS
from pipeline.base.storage import unwritable, write_whole
from pipeline.dataset.encode import encode_dense as encode_grey
from pipeline.dataset.encode import encode_jpeg
from pipeline.labelling import cvat, label_studio
from pipeline.labelling.picture import LabelledPicture
from pipeline.masks.person import person_masks
from pipeline.people.source import People


def export_labels(
    people: People,
    rows: Sequence[int],
    style: str,
    tool: str,
    out: Path,
    progress: Callable[[int], None] = lambda n: None,
) -> list[str]:
    """Writes people's photos, masks and label maps into a new folder, in a tool's format.

    Args:
        rows: which of the people.
        style: of the masks; stored ones are taken as they are.
        tool: of ``LABELLING_TOOLS``. CVAT has annotations.xml, Label Studio tasks.json, FiftyOne a
            folder of PNGs for each layer.
        out: a folder that is not there yet, or an empty one.

    Returns:
        A sentence on each person who has no picture or mask, and is left out.

    Raises:
        DataError: the folder holds something, or can't be written.
    """
    begin(out)
    described: list[Any] = []
    left_out: list[str] = []
    seen: set[str] = set()
    for i in rows:
        try:
            picture = _picture(people, i, style)
        except DataError as error:
            left_out.append(str(error))
            continue
        finally:
            progress(1)
        if picture.name in seen:  # the same person with another garment
            continue
        seen.add(picture.name)
        _write(out / "images" / f"{picture.name}.jpg", encode_jpeg(picture.photo))
        if tool == "cvat":
            described.append(cvat.image_element(picture, len(described)))
        elif tool == "label-studio":
            described.append(label_studio.task(picture, out.absolute().name))
        else:
            _write_layers(picture, out)
    modules = {"cvat": cvat, "label-studio": label_studio}
    if tool in modules:
        for name, data in modules[tool].files(described, style).items():
            _write(out / name, data)
    return left_out


def begin(out: Path) -> None:
    """Makes the folder; DataError where it holds something or can't be made."""
    try:
        out.mkdir(parents=True, exist_ok=True)
        strangers = sorted(p.name for p in out.iterdir())
    except OSError as error:
        raise unwritable(out, error) from error
    if strangers:
        raise DataError(out, f"is not empty ({strangers[0]})", "a new folder", "Choose another")


def _picture(people: People, i: int, style: str) -> LabelledPicture:
    person = people.load(i, pictures=True)
    if person.problems or person.photo is None:
        raise DataError(person.who.key, person.problems[0] if person.problems else "no photo")
    if person.crop is not None:
        raise DataError(
            person.who.key,
            "a part of a photo",
            "the whole one: mended masks are taken back at its size",
            "Export from the dataset, or from shards of --frame whole",
        )
    person = person.at(person.photo.shape[:2])
    mask = person_masks(person, (style,))[style]
    assert person.photo is not None
    return LabelledPicture(person.who, style, person.photo, mask, person.label_map)


def _write_layers(picture: LabelledPicture, out: Path) -> None:
    """FiftyOne's ImageSegmentationDirectory: a PNG of each layer under the photo's name."""
    hidden = picture.mask.astype(np.uint8) * 255
    _write(out / f"{MENDED_MASKS}/{picture.style}/{picture.name}.png", encode_grey(hidden))
    if picture.label_map is not None:
        _write(out / f"{MENDED_LABEL_MAPS}/{picture.name}.png", encode_grey(picture.label_map))


def _write(path: Path, data: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    write_whole(path, data)
