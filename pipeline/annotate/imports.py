"""What other programs found in a photo: OpenPose's JSON, parsers' PNGs with ATR or LIP classes,
DensePose parts."""

from __future__ import annotations

import io
import json
from pathlib import Path

import numpy as np
from PIL import Image

from pipeline.annotate.keypoints import Pose
from pipeline.base.errors import DataError
from pipeline.base.files import ReadError, brief, class_numbers, picture_header, read_bytes
from pipeline.base.labels import N_ATR, N_DENSE, N_JOINTS, Atr, Joint

BODY_25 = {Joint(i): i for i in range(8)} | {Joint(i): i + 1 for i in range(8, 18)}
"""Joint -> row of OpenPose's BODY_25, which has the middle of the hips as its row 8 and feet from
19 on."""

LIP_CLASSES = (
    "background",
    "hat",
    "hair",
    "glove",
    "sunglasses",
    "upper clothes",
    "dress",
    "coat",
    "socks",
    "pants",
    "jumpsuit",
    "scarf",
    "skirt",
    "face",
    "left arm",
    "right arm",
    "left leg",
    "right leg",
    "left shoe",
    "right shoe",
)
"""Classes of the LIP set (Gong et al., 2017), in their order."""

GLOVE, SOCKS = 100, 101
"""Classes without a side; ``split_sides`` gives them one."""
TABLES: dict[str, tuple[int, ...]] = {
    "atr": tuple(range(N_ATR)),
    "lip": (
        Atr.BACKGROUND,
        Atr.HAT,
        Atr.HAIR,
        GLOVE,
        Atr.SUNGLASSES,
        Atr.UPPER_CLOTHES,
        Atr.DRESS,
        Atr.UPPER_CLOTHES,
        SOCKS,
        Atr.PANTS,
        Atr.DRESS,
        Atr.SCARF,
        Atr.SKIRT,
        Atr.HEAD,
        Atr.LEFT_ARM,
        Atr.RIGHT_ARM,
        Atr.LEFT_LEG,
        Atr.RIGHT_LEG,
        Atr.LEFT_SHOE,
        Atr.RIGHT_SHOE,
    ),
}
"""Name of a set of classes -> the dataset's class for each of its own. Coats are upper clothes,
jumpsuits dresses."""
TABLES["cihp"] = (*TABLES["lip"][:10], Atr.HEAD, *TABLES["lip"][11:])
"""As LIP, but class 10 is the skin of neck and chest (Gong et al., 2018); VITON-HD's maps are of
this kind."""


def read_openpose(path: Path, size_hw: tuple[int, int]) -> Pose:
    """The largest person in one of OpenPose's JSON files, COCO-18 or BODY_25.

    Args:
        path: with ``people[].pose_keypoints_2d``; coordinates in pixels of the photo, or from 0 to
            1.
        size_hw: the photo's.

    Raises:
        DataError: another structure, another number of joints, or joints that cannot be of this
            photo.
    """
    path = Path(path)
    try:
        content = json.loads(read_bytes(path, "keypoints"))
    except (ValueError, RecursionError) as error:
        raise ReadError(
            "unreadable", path, f"not readable as JSON ({brief(error)})", "OpenPose's JSON"
        ) from None
    people = content.get("people") if isinstance(content, dict) else None
    if not isinstance(people, list):
        raise ReadError("shape", path, 'no list called "people"', "OpenPose's JSON")
    found = [_person(path, entry, size_hw) for entry in people]
    found = [points for points in found if (points[:, 2] > 0).sum() >= 4]
    if not found:
        return Pose(np.full((N_JOINTS, 3), (np.nan, np.nan, 0), np.float32), None, 0, "openpose")
    extent = lambda points: float(
        np.prod(np.nanmax(points[:, :2], 0) - np.nanmin(points[:, :2], 0))
    )
    found.sort(key=extent, reverse=True)
    return Pose(found[0], None, len(found), "openpose")


def _person(path: Path, entry: object, size_hw: tuple[int, int]) -> np.ndarray:
    values = entry.get("pose_keypoints_2d") if isinstance(entry, dict) else None
    if not isinstance(values, list) or len(values) not in (3 * N_JOINTS, 75):
        found = (
            f"{len(values) / 3:g} joints"
            if isinstance(values, list)
            else 'no list "pose_keypoints_2d"'
        )
        raise ReadError(
            "shape",
            path,
            found,
            "18 (COCO) or 25 (BODY_25) with x, y, score each",
            "Run OpenPose with --model_pose BODY_25 or COCO",
        )
    try:
        rows = np.array(values, np.float64).reshape(-1, 3)
    except (ValueError, TypeError, OverflowError):
        rows = np.full((1, 3), np.nan)
    if not (np.abs(rows) < 1e6).all():
        raise ReadError("values", path, "coordinates that are no numbers", "finite numbers")
    points = rows[[BODY_25[Joint(j)] for j in range(N_JOINTS)]] if len(rows) == 25 else rows
    seen = points[:, 2] > 0
    if seen.any() and points[seen, :2].max() <= 1.5:  # --keypoint_scale 3
        points = points * (size_hw[1], size_hw[0], 1)
    outside = (points[seen, :2] < -0.05 * np.array(size_hw[::-1])) | (
        points[seen, :2] > 1.05 * np.array(size_hw[::-1])
    )
    if outside.any():
        raise ReadError(
            "frame",
            path,
            "joints outside of the photo",
            f"pixels of {size_hw[1]} x {size_hw[0]}",
            "Run OpenPose on this very photo",
        )
    points = np.where(seen[:, None], points, (np.nan, np.nan, 0))
    return points.astype(np.float32)


def read_parse(path: Path, size_hw: tuple[int, int], classes: str = "atr") -> np.ndarray:
    """(H, W) uint8 label map of the photo, in the dataset's classes.

    Args:
        path: PNG of class numbers, with or without a palette, of the photo's size.
        size_hw: the photo's.
        classes: a key of ``TABLES``.

    Raises:
        DataError: another mode or size, or a class that the set does not have.
    """
    return translate(_read_index(Path(path), size_hw, len(TABLES[classes]) - 1), TABLES[classes])


def read_dense_index(path: Path, size_hw: tuple[int, int]) -> np.ndarray:
    """(H, W) uint8 DensePose parts, 0 to 24, from a PNG of part numbers of the photo's size. Raises
    DataError."""
    return _read_index(Path(path), size_hw, N_DENSE - 1)


def _read_index(path: Path, size_hw: tuple[int, int], highest: int) -> np.ndarray:
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
    if labels.max() > highest:
        raise ReadError(
            "values",
            path,
            f"class {labels.max()}",
            f"0 to {highest}",
            "Name the right set of classes",
        )
    return labels


def translate(labels: np.ndarray, table: tuple[int, ...]) -> np.ndarray:
    """(H, W) uint8: ``table[labels]`` in the dataset's classes; gloves and socks on the side that
    is nearer."""
    lookup = np.zeros(256, np.uint8)
    lookup[: len(table)] = table
    mapped = lookup[labels]
    split_sides(mapped, GLOVE, (Atr.LEFT_ARM, Atr.RIGHT_ARM))
    split_sides(mapped, SOCKS, (Atr.LEFT_LEG, Atr.RIGHT_LEG), (Atr.LEFT_SHOE, Atr.RIGHT_SHOE))
    return mapped


def split_sides(
    labels: np.ndarray, what: int, sides: tuple[int, int], others: tuple[int, int] = (-1, -1)
) -> None:
    """Replaces class ``what`` by the left or right one of ``sides``, in place: whichever lies
    nearer in x; where neither is seen, by the halves of the picture (the wearer's left is on its
    right)."""
    ys, xs = np.nonzero(labels == what)
    if not len(xs):
        return
    middles = []
    for label, other, share in zip(sides, others, (2 / 3, 1 / 3)):
        columns = np.nonzero((labels == label) | (labels == other))[1]
        middles.append(columns.mean() if len(columns) else share * labels.shape[1])
    labels[ys, xs] = np.where(np.abs(xs - middles[0]) < np.abs(xs - middles[1]), *sides)


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
