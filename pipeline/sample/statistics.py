"""How people of a dataset stand, are built and are dressed: values of each, and tables of quantiles
beside those of the real dataset.

The real table, ``statistics.json``, holds aggregates over all 53,792 keypoint files of Dress Code
and over the label maps of some 23 people a category, and nobody's data: quantiles and shares.
Lengths are in u, the larger of the shoulders' width and .55 of the trunk's length (neck to the
middle of the hips).
"""

from __future__ import annotations

import functools
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.base.labels import Atr, Category, DensePart, Joint

LEVELS = (0.02, 0.1, 0.25, 0.5, 0.75, 0.9, 0.98)
GARMENT_LEVELS = (0.1, 0.25, 0.5, 0.75, 0.9)
GARMENT_LABELS = {
    Category.UPPER_BODY: (Atr.UPPER_CLOTHES,),
    Category.LOWER_BODY: (Atr.SKIRT, Atr.PANTS),
    Category.DRESSES: (Atr.DRESS,),
}
WIDTHS = {
    "width_at_hips_u": 0.0,
    "width_mid_thigh_u": 0.25,
    "width_knee_u": 0.5,
    "width_mid_shin_u": 0.75,
}
"""Where widths are taken, as shares of the way from the hips to the ankles."""


@functools.cache
def real_statistics() -> dict[str, Any]:
    """The table of the real dataset, by category: ``quantiles``, ``missing_share``, ``arms``,
    ``garments``."""
    return json.loads((Path(__file__).parent / "statistics.json").read_text())


def unit_of(joints: np.ndarray) -> np.ndarray:
    """(N,) u of people, in the units of ``joints`` (N, 18, 2); NaN where a joint of the trunk is
    missing."""
    hips = joints[:, [Joint.R_HIP, Joint.L_HIP]].mean(1)
    trunk = np.hypot(*(joints[:, Joint.NECK] - hips).T)
    shoulders = np.hypot(*(joints[:, Joint.R_SHOULDER] - joints[:, Joint.L_SHOULDER]).T)
    return np.maximum(shoulders, 0.55 * trunk)


def _length(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    return np.hypot(*np.moveaxis(a - b, -1, 0))


def _angle(a: np.ndarray, b: np.ndarray, c: np.ndarray) -> np.ndarray:
    """Angle at b in degrees; 180 where the limb is straight."""
    first, second = a - b, c - b
    cosine = (first * second).sum(-1) / (_length(a, b) * _length(c, b) + 1e-9)
    return np.degrees(np.arccos(np.clip(cosine, -1, 1)))


def body_values(joints: np.ndarray) -> dict[str, np.ndarray]:
    """What bodies measure.

    Args:
        joints: (N, 18, 2) x, y in the frame of 384 x 512, NaN where a joint is missing.

    Returns:
        Name -> (N,) or, of arms and legs, (N, 2) right and left. Lengths in u, angles in degrees,
        places in pixels; NaN where a joint is missing.
    """
    u = unit_of(joints)
    chain = joints[:, 2:14].reshape(len(joints), 2, 2, 3, 2)  # people, arms or legs, sides, joints
    chain = np.moveaxis(chain, 1, 0) / u[:, None, None, None]  # sides: right, left
    shoulder, elbow, wrist = np.moveaxis(chain[0], 2, 0)
    hip, knee, ankle = np.moveaxis(chain[1], 2, 0)
    neck, hips = joints[:, Joint.NECK] / u[:, None], hip.mean(1)
    out = np.array((-1.0, 1.0))  # outwards on either side
    line, spine, arm = shoulder[:, 1] - shoulder[:, 0], hips - neck, elbow - shoulder
    return {
        "u_px_of_512": u,
        "shoulder_width": _length(shoulder[:, 0], shoulder[:, 1]),
        "neck_to_hips": _length(neck, hips),
        "hip_width": _length(hip[:, 0], hip[:, 1]),
        "upper_arm": _length(shoulder, elbow),
        "forearm": _length(elbow, wrist),
        "thigh": _length(hip, knee),
        "shin": _length(knee, ankle),
        "hips_to_ankles": _length(hips, ankle.mean(1)),
        "ankle_distance": _length(ankle[:, 0], ankle[:, 1]),
        "knee_distance": _length(knee[:, 0], knee[:, 1]),
        "elbow_angle": _angle(shoulder, elbow, wrist),
        "knee_angle": _angle(hip, knee, ankle),
        "upper_arm_from_down": np.degrees(np.arctan2(arm[..., 0] * out, arm[..., 1])),
        "wrist_x_from_hip_outwards": (wrist - hip)[..., 0] * out,
        "wrist_y_below_hip": (wrist - hip)[..., 1],
        "shoulder_tilt_deg": np.degrees(np.arctan2(line[:, 1], line[:, 0])),
        "trunk_lean_deg": np.degrees(np.arctan2(spine[:, 0], spine[:, 1])),
        "neck_y_px_of_512": joints[:, Joint.NECK, 1],
        "ankles_y_px_of_512": joints[:, [Joint.R_ANKLE, Joint.L_ANKLE], 1].mean(1),
        "hips_x_px_of_384": joints[:, [Joint.R_HIP, Joint.L_HIP], 0].mean(1),
    }


def arm_values(joints: np.ndarray) -> dict[str, np.ndarray]:
    """Name -> (N,) bool: what the arms do. Arguments as of ``body_values``; a missing joint does
    nothing."""
    over = wrists_over_trunk(joints)
    elbows = np.stack([_angle(*np.moveaxis(joints[:, k : k + 3], 1, 0)) for k in (2, 5)], 1)
    above = (
        joints[:, [Joint.R_WRIST, Joint.L_WRIST], 1] < joints[:, [Joint.R_ELBOW, Joint.L_ELBOW], 1]
    )
    facing = joints[:, Joint.R_SHOULDER, 0] < joints[:, Joint.L_SHOULDER, 0]
    crossed = joints[:, Joint.R_WRIST, 0] > joints[:, Joint.L_WRIST, 0]
    return {
        "one_wrist_over_trunk": over.sum(1) == 1,
        "both_wrists_over_trunk": over.all(1),
        "an_elbow_below_90_deg": (elbows < 90).any(1),
        "a_wrist_above_its_elbow": above.any(1),
        "crossed_wrists": facing & crossed,
    }


def wrists_over_trunk(joints: np.ndarray) -> np.ndarray:
    """(N, 2) bool: whether the right and the left wrist lie between shoulders and hips."""
    corners = joints[:, [Joint.R_SHOULDER, Joint.L_SHOULDER, Joint.L_HIP, Joint.R_HIP]]
    along = np.roll(corners, -1, 1) - corners
    inside = []
    for joint in (Joint.R_WRIST, Joint.L_WRIST):
        away = joints[:, None, joint] - corners
        side = along[..., 0] * away[..., 1] - along[..., 1] * away[..., 0]
        inside.append((side > 0).all(1) | (side < 0).all(1))
    return np.stack(inside, 1)


def garment_values(
    category: Category, labels: np.ndarray, dense: np.ndarray, joints: np.ndarray
) -> dict[str, float]:
    """What one person's garment measures in the label map.

    Args:
        labels: (H, W) uint8, ATR classes, as the map is stored: with its faults.
        dense: (H, W) uint8, DensePose parts: bare arms are counted without hands.
        joints: (18, 2) in pixels of the map, NaN where missing.

    Returns:
        Areas in u², widths in u, where the lowest row lies between hips (0) and ankles (1); NaN
        where the garment does not reach, or joints are missing.
    """
    u = float(unit_of(joints[None])[0])
    worn = np.isin(labels, GARMENT_LABELS[category])
    rows = worn.sum(1)
    hips, ankles = (joints[[a, b], 1].mean() for a, b in ((8, 11), (10, 13)))
    values = {"area_u2": worn.sum() / u**2, "hem_0hip_1ankle": np.nan}
    if rows.any() and np.isfinite(ankles - hips):
        values["hem_0hip_1ankle"] = (np.flatnonzero(rows).max() - hips) / (ankles - hips)
        for name, share in WIDTHS.items():
            y = hips + share * (ankles - hips)
            values[name] = _outer_width(worn, y) / u
    arms = np.isin(labels, (Atr.LEFT_ARM, Atr.RIGHT_ARM))
    hands = np.isin(dense, (DensePart.LEFT_HAND, DensePart.RIGHT_HAND))
    return values | {"bare_arm_area_u2": (arms & ~hands).sum() / u**2}


def _outer_width(worn: np.ndarray, y: float) -> float:
    """From the first to the last pixel of a row; NaN where there is none."""
    if not 0 <= round(y) < len(worn):
        return np.nan
    columns = np.flatnonzero(worn[round(y)])
    return float(columns[-1] - columns[0] + 1) if len(columns) else np.nan


def quantiles(values: Mapping[str, np.ndarray], levels=LEVELS) -> dict[str, list[float]]:
    """Name -> quantiles of all that is there; NaN where nothing is."""
    found = {}
    for name, numbers in values.items():
        numbers = np.asarray(numbers, float)
        numbers = numbers[np.isfinite(numbers)]
        found[name] = (
            np.quantile(numbers, levels).tolist() if len(numbers) else [np.nan] * len(levels)
        )
    return found
