"""What CVAT or Label Studio exported -> a folder of masks and label maps that preprocess takes."""

from __future__ import annotations

import zipfile
from collections.abc import Sequence
from pathlib import Path, PurePosixPath

import numpy as np

from pipeline.base.errors import DataError
from pipeline.base.names import MENDED_LABEL_MAPS, MENDED_MASKS
from pipeline.base.storage import write_whole
from pipeline.dataset.encode import encode_dense as encode_grey
from pipeline.labelling import cvat, label_studio
from pipeline.labelling.cvat import Shape
from pipeline.labelling.picture import CLASS_NAMES, hidden_style

ANNOTATIONS = "annotations.xml"
MOST = 1 << 30
"""Bytes of an export that is read."""
CLASS_NUMBERS = {name: number for number, name in CLASS_NAMES.items()}


def unpack(file: Path) -> tuple[Path, str]:
    """Unpacks an export beside itself; files that are there already with the same content stay
    untouched, so that nothing is made again for them.

    Args:
        file: CVAT's "CVAT for images 1.1" (.zip, or its annotations.xml), or Label Studio's JSON.

    Returns:
        The folder, and a sentence on what was found.

    Raises:
        DataError: no such file, or none of these.
    """
    out = file.with_name(f"{file.stem}_png")
    masks = maps = 0
    places: set[Path] = set()
    try:
        text = _read(file)
        read = label_studio.read_tasks if file.suffix.lower() == ".json" else cvat.read_images
        for name, size_hw, shapes in read(text):
            layers = _layers(shapes, size_hw, PurePosixPath(name).stem)
            for place, picture in layers.items():
                _write(out / place, encode_grey(picture))
                places.add(out / place)
                masks += place.startswith(MENDED_MASKS)
                maps += place.startswith(MENDED_LABEL_MAPS)
    except (ValueError, TypeError, OverflowError) as error:
        raise DataError(file, str(error), "an export of CVAT or Label Studio") from None
    if not masks + maps:
        remedy = "Export with the labels that inspect-mask --export has made"
        raise DataError(file, "no mask and no class in it", "labelled pictures", remedy)
    if stale := sorted({*out.glob("*/**/*.png")} - places):
        found = f"{stale[0].relative_to(out)} is in no picture of {file.name}"
        remedy = f"It is of an earlier export: delete {out} and run again"
        raise DataError(out, found, "what the export holds alone", remedy)
    return out, f"{masks:,} masks and {maps:,} label maps of {file} are in {out}."


def _read(file: Path) -> bytes:
    try:
        if file.suffix.lower() != ".zip":
            if file.stat().st_size > MOST:
                raise ValueError("more than 1 GiB")
            return file.read_bytes()
        with zipfile.ZipFile(file) as archive:
            if archive.getinfo(ANNOTATIONS).file_size > MOST:
                raise ValueError("more than 1 GiB of annotations")
            return archive.read(ANNOTATIONS)
    except KeyError:
        raise ValueError(f"no {ANNOTATIONS} in it") from None
    except zipfile.BadZipFile as error:
        raise ValueError(f"no ZIP file ({error})") from None
    except OSError as error:
        raise DataError(file, error.strerror or str(error), "a folder, or an export") from error


def _layers(shapes: Sequence[Shape], size_hw: tuple[int, int], name: str) -> dict[str, np.ndarray]:
    """Place in the folder -> grey picture: a mask for each style that is labelled, and a label map
    where a class is. Later shapes lie above earlier ones."""
    layers: dict[str, np.ndarray] = {}
    for label, draw in shapes:
        style, number = hidden_style(label), CLASS_NUMBERS.get(label)
        if style is not None and style.replace("-", "").isalnum():
            place, value = f"{MENDED_MASKS}/{style}/{name}.png", 255
        elif number is not None:
            place, value = f"{MENDED_LABEL_MAPS}/{name}.png", number
        else:
            raise ValueError(f"the label {label!r}, expected those of the export")
        layers.setdefault(place, np.zeros(size_hw, np.uint8))[draw()] = value
    return layers


def _write(path: Path, data: bytes) -> None:
    if path.is_file() and path.read_bytes() == data:
        return
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise DataError(path.parent, error.strerror or str(error), "a folder to write") from error
    write_whole(path, data)
