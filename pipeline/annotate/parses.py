"""Label maps that a human parser wrote as PNGs, with ATR, LIP or CIHP classes."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
from PIL import Image

from pipeline.base.errors import DataError
from pipeline.base.files import ReadError, brief, class_numbers, picture_header, read_bytes
from pipeline.dataset.label_sets import TABLES, likely_set, translate


def read_parse(
    path: Path,
    size_hw: tuple[int, int],
    classes: str = "atr",
    keypoints: np.ndarray | None = None,
) -> np.ndarray:
    """(H, W) uint8 label map of the photo, in the dataset's classes.

    Args:
        path: PNG of class numbers, with or without a palette, of the photo's size.
        size_hw: the photo's.
        classes: a key of ``TABLES``.
        keypoints: (18, 3) in pixels of the photo, to notice another set by; None for any.

    Raises:
        DataError: another mode or size, a class that the set does not have, or a map that another
            set explains.
    """
    labels = _read_index(Path(path), size_hw)
    highest = len(TABLES[classes]) - 1
    if labels.max() > highest:
        others = [n for n, table in TABLES.items() if labels.max() < len(table)]
        names = " and ".join(name.upper() for name in others)
        remedy = f"Such classes occur only in {names}: pass --parse-classes"
        raise ReadError(
            "values",
            path,
            f"class {labels.max()}",
            f"0 to {highest} of {classes.upper()}",
            remedy if others else "Export the class numbers, not their colours",
        )
    likely = classes if keypoints is None else likely_set(labels, keypoints, classes)
    if likely != classes:
        raise ReadError(
            "values",
            path,
            f"read as {classes.upper()}, the trunk between shoulders and hips is no upper garment; "
            f"read as {likely.upper()} it is",
            "class numbers of the set that was named",
            f"Pass --parse-classes {likely}",
        )
    return translate(labels, TABLES[classes])


def _read_index(path: Path, size_hw: tuple[int, int]) -> np.ndarray:
    data = read_bytes(path)
    hw, _, mode = picture_header(path, data, ("PNG",))
    if mode not in ("P", "L"):
        raise ReadError(
            "mode",
            path,
            f"a PNG of mode {mode}",
            "class numbers (mode P or L)",
            "Export the numbers, not their colours",
        )
    if hw != tuple(size_hw):
        raise ReadError(
            "size",
            path,
            f"{hw[1]} x {hw[0]} pixels",
            f"the photo's {size_hw[1]} x {size_hw[0]}",
            "Run the other program on this very photo, turned upright",
        )
    try:
        with Image.open(io.BytesIO(data), formats=("PNG",)) as image:
            labels = class_numbers(data, np.array(image, np.uint8))
    except Exception as error:
        raise ReadError(
            "unreadable", path, f"corrupted or truncated ({brief(error)})", "a whole PNG"
        ) from None
    return labels


def partner(folder: Path, photo: Path, endings: tuple[str, ...]) -> Path:
    """The file in ``folder`` that belongs to a photo: its name without suffix, then one of
    ``endings``.

    Raises:
        DataError: there is none.
    """
    for ending in endings:
        if (path := Path(folder) / f"{photo.stem}{ending}").is_file():
            return path
    raise DataError(
        Path(folder) / f"{photo.stem}{endings[0]}",
        "no such file",
        "one for each photo",
        f"Files are found by the photo's name with {' or '.join(endings)}",
    )
