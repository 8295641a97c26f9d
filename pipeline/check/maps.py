"""What can be wrong with a person's label map and DensePose: alone, and against the joints."""

from __future__ import annotations

import cv2
import numpy as np

from pipeline.base.labels import GARMENT_LABELS, Atr, is_in
from pipeline.base.manifest import load_manifest
from pipeline.check.defects import Defect
from pipeline.check.task import PersonTask, defect, relative
from pipeline.dataset.label_sets import likely_set
from pipeline.dataset.person import LEAST_GARMENT, garment_share
from pipeline.masks.layers import same_shape
from pipeline.masks.render import MISLABELLED, mislabelled_share

LIMB_SKIN = {
    (Atr.LEFT_ARM, Atr.RIGHT_ARM): (3, 4, *range(15, 23)),
    (Atr.LEFT_LEG, Atr.RIGHT_LEG): tuple(range(5, 15)),
}
"""Skin labels -> the DensePose parts that they belong to."""
SEAMS = 0.22
"""Thin pixels relative to those at borders between classes, at 256 rows, from which on a map was
resized with interpolation: drawn people reach .20, real ones .03, resized maps begin at .24."""
_WINDOW = np.ones((3, 3), np.uint8)


def check_label_map(
    task: PersonTask,
    label_map: np.ndarray,
    keypoints: np.ndarray | None = None,
    dense: np.ndarray | None = None,
    photo: np.ndarray | None = None,
) -> list[Defect]:
    """Defects of what a label map holds.

    Args:
        label_map: (H, W) uint8, of about 256 rows.
        keypoints: (18, 3) in the stored frame, or None.
        dense: (H, W) uint8 DensePose parts of the same size, or None.
        photo: (h, w, 3) uint8 RGB of any size, or None.
    """
    person = int(np.count_nonzero(label_map))
    if person == 0:
        return [defect(task, "map_empty", "label_map", "background only")]
    defects = _check_silhouette(task, person / label_map.size)
    points = None if keypoints is None else _in_pixels(keypoints, label_map.shape)
    other = "atr" if points is None else likely_set(label_map, points)
    if other != "atr":
        told = f"its numbers are {other.upper()}'s: make it with ATR's classes, or translate it"
        return [*defects, defect(task, "map_other_classes", "label_map", told)]
    seams = thin_share(label_map)
    if seams > SEAMS:
        told = "thin seams of foreign classes along the borders: resize maps with nearest"
        defects.append(defect(task, "map_interpolated", "label_map", told))
    if dense is not None and dense.shape != label_map.shape:
        dense = None
    if photo is not None and not same_shape(photo, label_map):
        photo = None
    return defects + _check_garment(task, label_map, person, points, dense, photo)


def _check_silhouette(task: PersonTask, share: float) -> list[Defect]:
    if 0.03 <= share <= 0.9:
        return []
    told = f"the person fills {share:.1%} of the picture"
    return [defect(task, "silhouette_odd", "label_map", told)]


def _check_garment(
    task: PersonTask,
    label_map: np.ndarray,
    person: int,
    points: np.ndarray | None,
    dense: np.ndarray | None,
    photo: np.ndarray | None,
) -> list[Defect]:
    """Whether the category's garment is there, and not under another class."""
    known = {i.key: i for i in load_manifest().known_issues if i.kind == "garment_mislabelled"}
    garment = garment_share(task.category, label_map)
    lower = np.count_nonzero(is_in(label_map, (Atr.SKIRT, Atr.PANTS, Atr.DRESS))) / person
    if task.key in known and lower < LEAST_GARMENT:
        what, path = known[task.key].what, relative(task, "label_map")
        return [Defect("garment_mislabelled", task.key, path, what, known=True)]
    names = " or ".join(label.name.lower() for label in GARMENT_LABELS[task.category])
    if garment < LEAST_GARMENT:
        told = f"{names} covers {garment:.1%} of the person"
        return [defect(task, "garment_missing", "label_map", told)]
    if points is None:
        return []
    share = mislabelled_share(task.category, points, dense, label_map, photo)
    if share < MISLABELLED:
        return []
    told = f"{share:.0%} of the {names} bears the class of other clothes"
    return [defect(task, "garment_mislabelled", "label_map", told)]


def _in_pixels(keypoints: np.ndarray, size_hw: tuple[int, ...]) -> np.ndarray:
    frame_h, frame_w = load_manifest().keypoint_hw
    return keypoints * np.array([size_hw[1] / frame_w, size_hw[0] / frame_h, 1])


def thin_share(label_map: np.ndarray) -> float:
    """Pixels of regions less than three wide, relative to pixels at a border between classes.

    Interpolation writes the classes between two neighbours along their border: thin seams.
    """
    edge = np.zeros(label_map.shape, bool)
    edge[:, 1:] |= label_map[:, 1:] != label_map[:, :-1]
    edge[1:] |= label_map[1:] != label_map[:-1]
    thin = 0
    for number in np.unique(label_map):
        if number:
            region = (label_map == number).astype(np.uint8)
            solid = cv2.dilate(cv2.morphologyEx(region, cv2.MORPH_OPEN, _WINDOW), _WINDOW)
            thin += int(np.count_nonzero(region > solid))
    return thin / max(1, int(np.count_nonzero(edge)))


def check_dense(
    task: PersonTask, dense: np.ndarray, label_map: np.ndarray | None, uv: np.ndarray | None
) -> list[Defect]:
    """Defects of DensePose, alone and against the label map and the surface coordinates."""
    body = dense > 0
    if not body.any():
        return [defect(task, "map_empty", "dense", "background only")]
    defects = []
    if label_map is not None and label_map.any() and label_map.shape == dense.shape:
        iou, inside, skin = dense_fit(dense, label_map)
        # thresholds between three right pairs (inside >= .97, skin >= .93) and their six exchanges
        if inside < 0.85 or iou < 0.45 or inside < 0.93 and skin < 0.5:
            defects.append(
                defect(
                    task,
                    "dense_other_person",
                    "dense",
                    f"{inside:.0%} of it lies on the person, "
                    f"overlap (IoU) {iou:.2f}, {skin:.0%} of bare limbs on limbs",
                )
            )
    if uv is not None and uv.shape[1:] == dense.shape:
        covered = (uv != 0).any(axis=0)
        overlap = np.count_nonzero(covered & body) / np.count_nonzero(covered | body)
        if overlap < 0.9:
            defects.append(
                defect(
                    task, "uv_differs", "dense_uv", f"overlap with the parts (IoU) {overlap:.2f}"
                )
            )
    return defects


def dense_fit(dense: np.ndarray, label_map: np.ndarray) -> tuple[float, float, float]:
    """How DensePose fits a label map of the same size.

    Returns:
        IoU of both silhouettes, share of DensePose on the person, share of bare arms and legs that
        DensePose calls arms and legs (1 where there are hardly any).
    """
    body, person = dense > 0, label_map > 0
    both = np.count_nonzero(body & person)
    bare = agree = 0
    for labels, parts in LIMB_SKIN.items():
        skin = is_in(label_map, labels)
        bare += int(np.count_nonzero(skin))
        agree += int(np.count_nonzero(skin & is_in(dense, parts)))
    skin_share = agree / bare if bare >= 0.01 * np.count_nonzero(person) else 1.0
    return both / np.count_nonzero(body | person), both / np.count_nonzero(body), skin_share
