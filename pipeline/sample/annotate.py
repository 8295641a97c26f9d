"""Keypoints with scores, and the faults of real annotations: what a parser, a pose network and
DensePose get wrong."""

from __future__ import annotations

import cv2
import numpy as np

from pipeline.base.labels import Atr, Joint
from pipeline.sample.body import Body
from pipeline.sample.scene import Picture, joints_in_photo
from pipeline.sample.wearer import Wearer

_MISSING = [-1.0, -1.0, 0.0, -1.0]
_KEPT_OF_FEW = (
    Joint.NECK,
    Joint.R_SHOULDER,
    Joint.L_SHOULDER,
    Joint.R_HIP,
    Joint.L_HIP,
    Joint.R_KNEE,
    Joint.NOSE,
)


def missing_joints(person: Wearer, body: Body, rng: np.random.Generator) -> set[int]:
    """Rows of the joints that the pose network did not find."""
    missing = {int(j) for j in Joint if f"missing {j.name.lower()}" in person.defects}
    if body.facing < 0:
        missing |= {int(Joint.NOSE), int(Joint.R_EYE), int(Joint.L_EYE)}
    if "few joints" in person.defects:
        missing |= set(range(18)) - {int(j) for j in _KEPT_OF_FEW[: int(rng.integers(4, 8))]}
    points = joints_in_photo(body)
    outside = (
        (points[:, 0] < 0) | (points[:, 0] >= 768) | (points[:, 1] < 0) | (points[:, 1] >= 1024)
    )
    return missing | set(np.flatnonzero(outside).tolist())


def keypoint_rows(person: Wearer, body: Body, rng: np.random.Generator) -> list[list[float]]:
    """18 rows [x, y, score, id] in the 384 x 512 frame: whole numbers as floats, running ids; -1 -1
    0 -1: missing."""
    missing, rows, number = missing_joints(person, body, rng), [], 0
    for joint, (x, y) in enumerate(np.round(joints_in_photo(body) / 2)):
        if joint in missing:
            rows.append(list(_MISSING))
            continue
        head = joint == Joint.NOSE or joint >= Joint.R_EYE
        score = rng.uniform(0.12, 0.85) if head else np.clip(rng.normal(0.86, 0.08), 0.1, 1.076)
        number += int(rng.random() < 0.04)  # peaks of other people or of nothing take a number too
        rows.append(
            [float(min(x, 383.0)), float(min(y, 511.0)), float(np.float32(score)), float(number)]
        )
        number += 1
    return rows


def _blob(rng: np.random.Generator, size_hw: tuple[int, int], cell: int) -> np.ndarray:
    """(H, W) float32 smooth noise, spread about 1."""
    small = rng.normal(0, 1, (size_hw[0] // cell + 2, size_hw[1] // cell + 2)).astype(np.float32)
    return cv2.resize(small, size_hw[::-1], interpolation=cv2.INTER_CUBIC)


_LABEL_FAULTS = {"label fragment", "half dress", "bag in pieces", "skirt called upper clothes"}


def spoil_labels(person: Wearer, picture: Picture, rng: np.random.Generator) -> None:
    """Faults of the label map, in place: only labels of clothes and bags change, no outline
    does."""
    labels = picture.labels
    if not _LABEL_FAULTS & set(person.defects):
        return
    noise = _blob(rng, labels.shape, max(4, int(90 * picture.ratio)))
    if "label fragment" in person.defects:
        worn = person.garment.cut.label
        other = {
            Atr.UPPER_CLOTHES: Atr.DRESS,
            Atr.DRESS: Atr.UPPER_CLOTHES,
            Atr.PANTS: Atr.UPPER_CLOTHES,
        }[worn]
        labels[(labels == worn) & (noise > 1.55)] = other
    if "half dress" in person.defects:
        legs = int((440 + 20 * rng.random()) * picture.ratio)
        below = labels[legs:]
        below[(below == Atr.DRESS) & (noise[legs:] > -1.3)] = Atr.PANTS
    if "bag in pieces" in person.defects:
        labels[(labels == Atr.BAG) & (noise > 0.5)] = person.garment.cut.label
    if "skirt called upper clothes" in person.defects:
        labels[labels == Atr.PANTS] = Atr.UPPER_CLOTHES


# legs of the wrong side or face, as DensePose guesses them below a skirt
_CONFUSED = np.arange(256, dtype=np.uint8)
_CONFUSED[[9, 10, 13, 14, 7, 8, 11, 12]] = [8, 7, 12, 12, 10, 9, 14, 13]


def spoil_dense(person: Wearer, picture: Picture, rng: np.random.Generator) -> None:
    """Wrong parts in patches below skirts and dresses, in place."""
    if "wrong dense patches" not in person.defects:
        return
    cloth = (picture.labels == Atr.PANTS) | (picture.labels == Atr.DRESS)
    patches = cloth & (_blob(rng, cloth.shape, max(4, int(48 * picture.ratio))) > 0.75)
    picture.dense[patches] = _CONFUSED[picture.dense[patches]]


def finish_uv(picture: Picture) -> None:
    """UV in the range of real files, exactly 0 on the background, in place."""
    x, y, w, h = cv2.boundingRect(picture.dense)
    inside = (picture.dense[y : y + h, x : x + w] > 0).astype(np.float32)
    for k in (0, 1):
        view = picture.uv[k, y : y + h, x : x + w]
        steps = cv2.convertScaleAbs(view, alpha=250)  # coarse steps pack in half the time
        view[:] = cv2.multiply(steps, inside, scale=1 / 250, dtype=cv2.CV_32F)
