"""Joints that other programs wrote: every kind of pose file that is in circulation.

What is read, by its structure: OpenPose's ``people`` (``pose_keypoints_2d``, and
``pose_keypoints`` of versions before 1.4; COCO-18 or BODY_25), ``candidate`` and ``subset``
(pytorch-openpose, ControlNet, DWPose's ``bodies``), DWPose's list with its canvas, OOTDiffusion's
pairs and Dress Code's own rows.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.annotate.keypoints import Pose
from pipeline.base.files import ReadError, brief, read_bytes
from pipeline.base.labels import N_JOINTS, Joint
from pipeline.base.manifest import load_manifest

BODY_25 = {Joint(i): i for i in range(8)} | {Joint(i): i + 1 for i in range(8, 18)}
"""Joint -> row of OpenPose's BODY_25, which has the middle of the hips as its row 8 and feet from
19 on."""
KEYS = ("pose_keypoints_2d", "pose_keypoints")
LEAST_PERSON = 5
"""Joints below which a figure beside another is a ghost: a part seen twice."""
LEAST_SURENESS = 0.25
"""A figure whose scores sum up to less than this share of the surest one's is a ghost too."""
STRUCTURES = (
    "OpenPose's JSON, candidate and subset, DWPose's bodies, "
    "OOTDiffusion's pairs or Dress Code's rows"
)
MODELS = "Run OpenPose with --model_pose BODY_25 or COCO"


@dataclass(frozen=True)
class Figures:
    """Everybody in a file.

    Attributes:
        points: (18, 3) float64 each: x, y, score; score 0 where a joint is missing.
        frame_hw: the frame that x and y are of; None for the photo's pixels, or shares of it.
    """

    points: list[np.ndarray]
    frame_hw: tuple[int, int] | None = None


def read_pose(path: Path, size_hw: tuple[int, int]) -> Pose:
    """The most prominent person in a pose file.

    Args:
        path: JSON of any kind that the module tells.
        size_hw: the photo's.

    Returns:
        Joints in pixels of the photo. ``people`` counts figures that are more than a ghost: a part
        of the person that was seen twice.

    Raises:
        DataError: another structure, another number of joints, or joints that cannot be of this
            photo.
    """
    path = Path(path)
    try:
        content = json.loads(read_bytes(path, "keypoints"))
    except (ValueError, RecursionError) as error:
        raise ReadError(
            "unreadable", path, f"not readable as JSON ({brief(error)})", STRUCTURES
        ) from None
    figures = _figures(path, content)
    found = [_in_photo(path, points, figures.frame_hw, size_hw) for points in figures.points]
    found = [points for points in found if (points[:, 2] > 0).sum() >= 4]
    if not found:
        return Pose(np.full((N_JOINTS, 3), (np.nan, np.nan, 0), np.float32), None, 0, "openpose")
    found.sort(key=_extent, reverse=True)
    surest = max(points[:, 2].sum() for points in found)
    people = [
        points
        for points in found
        if (points[:, 2] > 0).sum() >= LEAST_PERSON
        and points[:, 2].sum() >= LEAST_SURENESS * surest
    ]
    chosen = people or found[:1]
    return Pose(chosen[0].astype(np.float32), None, len(chosen), "openpose")


def _extent(points: np.ndarray) -> float:
    seen = points[points[:, 2] > 0, :2]
    return float(np.prod(np.ptp(seen, axis=0)))


def _figures(path: Path, content: object) -> Figures:
    if isinstance(content, list) and len(content) == 1:  # DWPose nodes write a list of pictures
        content = content[0]
    if not isinstance(content, dict):
        raise ReadError("shape", path, f"a {type(content).__name__}", STRUCTURES)
    frame = _canvas(content)
    if isinstance(content.get("people"), list):
        return Figures([_openpose(path, entry) for entry in content["people"]], frame)
    if isinstance(content.get("bodies"), dict):
        return Figures(_subset(path, content["bodies"]), frame)
    if "candidate" in content and "subset" in content:
        return Figures(_subset(path, content), frame)
    if isinstance(content.get("keypoints"), list):
        return Figures([_dresscode(path, content["keypoints"])], load_manifest().keypoint_hw)
    for key in KEYS:
        if isinstance(content.get(key), list):
            return _single(path, content[key], frame)
    raise ReadError("shape", path, 'no list called "people"', STRUCTURES)


def _canvas(content: dict[str, Any]) -> tuple[int, int] | None:
    """The picture's size, where the file tells it."""
    height, width = content.get("canvas_height"), content.get("canvas_width")
    if isinstance(height, int) and isinstance(width, int) and height > 0 and width > 0:
        return height, width
    return None


def _numbers(path: Path, values: object, columns: int) -> np.ndarray:
    """(n, columns) float64 of a flat or nested list; ReadError for anything else."""
    try:
        rows = np.array(values, np.float64).reshape(-1, columns)
    except (ValueError, TypeError, OverflowError):
        rows = np.full((1, columns), np.nan)
    if not (np.abs(rows) < 1e6).all():
        raise ReadError("values", path, "coordinates that are no numbers", "finite numbers")
    return rows


def _openpose(path: Path, entry: object) -> np.ndarray:
    values = None
    if isinstance(entry, dict):
        values = next((entry[k] for k in KEYS if isinstance(entry.get(k), list)), None)
    if values is None:
        raise ReadError("shape", path, f'no list "{KEYS[0]}"', "18 or 25 joints", MODELS)
    if len(values) not in (3 * N_JOINTS, 75):
        raise ReadError(
            "shape",
            path,
            f"{len(values) / 3:g} joints",
            "18 (COCO) or 25 (BODY_25) with x, y, score each",
            MODELS,
        )
    rows = _numbers(path, values, 3)
    return rows[[BODY_25[Joint(j)] for j in range(N_JOINTS)]] if len(rows) == 25 else rows


def _subset(path: Path, content: dict[str, Any]) -> list[np.ndarray]:
    """Figures of ``candidate`` (x, y, maybe score and id) and ``subset`` (rows into it, or -1)."""
    candidate, subset = content.get("candidate"), content.get("subset")
    if not isinstance(candidate, list) or not isinstance(subset, list):
        raise ReadError("shape", path, "candidate or subset is no list", STRUCTURES)
    if not candidate or not subset:
        return []
    columns = len(candidate[0]) if isinstance(candidate[0], list) else 0
    width = len(subset[0]) if isinstance(subset[0], list) else 0
    if columns < 2 or width < N_JOINTS:
        raise ReadError("shape", path, "rows too short", f"x, y, and {N_JOINTS} joints a person")
    rows, people = _numbers(path, candidate, columns), _numbers(path, subset, width)
    figures = []
    for person in people[:, :N_JOINTS].astype(int):
        if person.max() >= len(rows):
            raise ReadError("values", path, f"joint {person.max()}", f"at most {len(rows) - 1}")
        points = np.zeros((N_JOINTS, 3))
        there = person >= 0
        points[there, :2] = rows[person[there], :2]
        points[there, 2] = rows[person[there], 2] if columns > 2 else 1
        figures.append(points)
    return figures


def _dresscode(path: Path, values: list[Any]) -> np.ndarray:
    """Dress Code's own rows of x, y, score, peak id; -1 where missing."""
    if len(values) != N_JOINTS:
        raise ReadError("shape", path, f"{len(values)} joints", f"{N_JOINTS}")
    columns = len(values[0]) if isinstance(values[0], list) else 0
    if columns < 3:
        raise ReadError("shape", path, "rows without a score", "x, y, score")
    rows = _numbers(path, values, columns)[:, :3]
    rows[(rows[:, :2] < 0).all(1)] = 0
    return rows


def _single(path: Path, values: list[Any], frame: tuple[int, int] | None) -> Figures:
    """One person's joints at the top: OOTDiffusion's pairs of 384 x 512 (missing 0, 0), or rows."""
    if len(values) == N_JOINTS and all(isinstance(v, list) and len(v) == 2 for v in values):
        pairs = _numbers(path, values, 2)
        seen = (pairs != 0).any(1)
        points = np.column_stack([pairs, seen.astype(np.float64)])
        return Figures([points], frame or load_manifest().keypoint_hw)
    return Figures([_openpose(path, {KEYS[0]: list(np.ravel(values))})], frame)


def _in_photo(
    path: Path,
    points: np.ndarray,
    frame_hw: tuple[int, int] | None,
    size_hw: tuple[int, int],
) -> np.ndarray:
    """Joints in pixels of the photo, NaN where missing; ReadError where they lie outside of it."""
    seen = points[:, 2] > 0
    if seen.any() and points[seen, :2].max() <= 1.5:  # OpenPose's --keypoint_scale 3, DWPose
        points = points * (size_hw[1], size_hw[0], 1)
    elif frame_hw is not None:
        points = points * (size_hw[1] / frame_hw[1], size_hw[0] / frame_hw[0], 1)
    limit = np.array(size_hw[::-1])
    outside = (points[seen, :2] < -0.05 * limit) | (points[seen, :2] > 1.05 * limit)
    if outside.any():
        raise ReadError(
            "frame",
            path,
            "joints outside of the photo",
            f"pixels of {size_hw[1]} x {size_hw[0]}",
            "Run the pose program on this very photo",
        )
    return np.where(seen[:, None], points, (np.nan, np.nan, 0))
