"""What can be wrong with one person's files: each file is read once, then its content is compared
with the others'."""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial

import cv2
import numpy as np

from pipeline.base.errors import DataError
from pipeline.base.files import (
    PICTURES,
    ReadError,
    check_jpeg_is_whole,
    check_upright,
    imdecode,
    picture_header,
    read_bytes,
)
from pipeline.base.labels import Joint
from pipeline.base.manifest import load_manifest
from pipeline.check.defects import Defect, from_error
from pipeline.check.duplicates import keypoints_digest, photo_hash
from pipeline.check.maps import check_dense, check_label_map
from pipeline.check.task import PersonTask, defect, relative
from pipeline.dataset.frames import Silhouette, frame_that_fits
from pipeline.dataset.readers import (
    check_aspect,
    read_dense,
    read_dense_uv,
    read_keypoints,
    read_label_map,
)

ROWS = 256
"""Height at which maps are compared: every fourth row and column of the dataset's."""
BODY = tuple(j for j in Joint if Joint.NECK <= j <= Joint.L_ANKLE)
"""Joints below the head; the photos are cropped above the mouth."""


@dataclass
class Findings:
    """What a worker found out about one id; a few hundred bytes, never a picture.

    Attributes:
        sizes: modality -> (height, width) as stored.
        digest: of the keypoints; empty where there are none.
        hash, thumb: of the photo, as ``duplicates.photo_hash``; thumb is None without a readable
            photo.
    """

    key: str
    defects: list[Defect] = field(default_factory=list)
    sizes: dict[str, tuple[int, int]] = field(default_factory=dict)
    digest: str = ""
    hash: int = 0
    thumb: np.ndarray | None = None


def inspect_people(tasks: list[PersonTask]) -> list[Findings]:
    """Findings of each task, in order; what a worker process runs."""
    cv2.setNumThreads(1)
    with tempfile.TemporaryFile() as ear:
        return [inspect_person(task, ear) for task in tasks]


def inspect_person(task: PersonTask, ear) -> Findings:
    """Reads every file of one id once and compares them.

    Args:
        ear: an open temporary file that catches what the JPEG decoder prints.
    """
    found = Findings(task.key)
    photo = _attempt(found, task, "image", partial(_read_photo, task, "image", found, ear))
    if photo is not None:
        found.hash, found.thumb = photo_hash(cv2.cvtColor(photo, cv2.COLOR_RGB2GRAY))
    for modality in ("garment", "skeleton"):
        _attempt(found, task, modality, partial(_read_photo, task, modality, found, ear))
    maps = {}
    for modality, read in (
        ("label_map", read_label_map),
        ("dense", read_dense),
        ("dense_uv", read_dense_uv),
    ):
        full = _attempt(found, task, modality, partial(read, task.path(modality)))
        if full is not None:
            found.sizes[modality] = full.shape[-2:]
            step = max(1, full.shape[-2] // ROWS)
            maps[modality] = full[..., ::step, ::step]
    frame = load_manifest().keypoint_hw
    keypoints = _attempt(
        found, task, "keypoints", partial(read_keypoints, task.path("keypoints"), frame)
    )
    if keypoints is not None:
        found.digest = keypoints_digest(keypoints)
        found.defects += check_joints(task, keypoints, maps.get("label_map"))
    if "label_map" in maps:
        sources = keypoints, maps.get("dense"), photo
        found.defects += check_label_map(task, maps["label_map"], *sources)
    if "dense" in maps:
        found.defects += check_dense(
            task, maps["dense"], maps.get("label_map"), maps.get("dense_uv")
        )
    return found


def _attempt(
    found: Findings, task: PersonTask, modality: str, read: Callable[[], np.ndarray]
) -> np.ndarray | None:
    """What ``read`` gives; None where the file is not asked for, or is bad, which becomes a
    defect."""
    if modality not in task.modalities:
        return None
    try:
        return read()
    except DataError as error:
        found.defects.append(from_error(error, task.key, relative(task, modality)))
        return None


def _read_photo(task: PersonTask, modality: str, found: Findings, ear) -> np.ndarray:
    """The picture at an eighth of its size, decoded once, every byte of it looked at: (h, w, 3)
    uint8 RGB of a photo, (h, w) in grey of all else."""
    path = task.path(modality)
    data = read_bytes(path)
    hw, format_name, mode = picture_header(path, data, PICTURES)
    found.sizes[modality] = hw
    if format_name not in ("JPEG", "MPO") or mode not in ("RGB", "L"):
        raise ReadError("mode", path, f"a {format_name} of mode {mode}", "an RGB JPEG")
    check_upright(path, data)
    check_aspect(path, hw)
    check_jpeg_is_whole(path, data, hw)
    colour = modality == "image"
    small, whole = (
        (cv2.IMREAD_REDUCED_COLOR_8, cv2.IMREAD_COLOR)
        if colour
        else (cv2.IMREAD_REDUCED_GRAYSCALE_8, cv2.IMREAD_GRAYSCALE)
    )
    flag = small if min(hw) >= 8 * 32 else whole
    with _heard(ear) as complaints:
        picture = imdecode(path, data, flag | cv2.IMREAD_IGNORE_ORIENTATION)
    if complaints:
        raise ReadError(
            "unreadable", path, f"corrupted picture data ({complaints[0]})", "a whole picture"
        )
    if float(np.max(picture.std(axis=(0, 1)))) < 1:
        found.defects.append(defect(task, "blank_picture", modality, "one colour all over"))
    return cv2.cvtColor(picture, cv2.COLOR_BGR2RGB) if colour else picture


@contextlib.contextmanager
def _heard(ear) -> Iterator[list[str]]:
    """Lines that libjpeg prints meanwhile: only so does it tell of data that it could not make
    sense of."""
    lines: list[str] = []
    try:
        kept = os.dup(2)
    except OSError:  # no standard error to listen to
        yield lines
        return
    start = ear.seek(0, os.SEEK_END)
    os.dup2(ear.fileno(), 2)
    try:
        yield lines
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        ear.seek(start)
        lines += [
            line for line in ear.read().decode(errors="replace").splitlines() if "JPEG" in line
        ]


def check_joints(
    task: PersonTask, keypoints: np.ndarray, label_map: np.ndarray | None
) -> list[Defect]:
    """Defects of keypoints, (18, 3) in the stored frame, alone and against the person's
    silhouette."""
    seen = ~np.isnan(keypoints[:, 0])
    points = keypoints[seen, :2]
    if len(points) == 0 or not np.ptp(points, axis=0).any():
        return [
            defect(
                task, "keypoints_empty", "keypoints", f"{len(points)} joints, none of them anywhere"
            )
        ]
    defects = []
    missing = [j.name.lower() for j in BODY if not seen[j]]
    if missing:
        defects.append(defect(task, "joints_missing", "keypoints", ", ".join(missing)))
    if len(points) < 10:
        defects.append(defect(task, "few_joints", "keypoints", f"{len(points)} of {len(Joint)}"))
    if keypoints[Joint.R_SHOULDER, 0] > keypoints[Joint.L_SHOULDER, 0]:
        defects.append(
            defect(task, "turned", "keypoints", "right shoulder to the right of the left one")
        )
    body = keypoints[list(BODY)]
    body = body[~np.isnan(body[:, 0])]
    if label_map is not None and label_map.any() and len(body):
        defects += _check_place(task, body[:, :2], label_map > 0)
    return defects


def _check_place(task: PersonTask, points: np.ndarray, person: np.ndarray) -> list[Defect]:
    """Whether the joints, (n, 2) in the stored frame, lie on the person."""
    frame_h, frame_w = load_manifest().keypoint_hw
    height, width = person.shape
    silhouette = Silhouette(person)
    other = frame_that_fits(points, (frame_h, frame_w), silhouette)
    if other is not None:
        name = "0 to 1" if other == (1, 1) else f"{other[0]} x {other[1]}"
        found = f"they fit the person in a frame of {name}, expected {frame_h} x {frame_w}"
        return [defect(task, "keypoints_frame", "keypoints", found)]
    as_stored = silhouette.share_on(points * (width / frame_w, height / frame_h))
    outside = round((1 - as_stored) * len(points))
    if outside == 0:
        return []
    kind = "keypoints_off_person" if as_stored < 0.6 else "joints_outside"
    return [
        defect(task, kind, "keypoints", f"{outside} of {len(points)} joints lie beside the person")
    ]
