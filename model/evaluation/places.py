"""Where on a person a figure is measured, and who belongs to which group of poses: from joints and
label map alone."""

from __future__ import annotations

import cv2
import numpy as np

from pipeline.base.labels import GARMENT_LABELS, Atr, Category, Joint, is_in

NECK_REACH = 0.6
"""Half the side of the neckline's crop, in distances between the shoulders."""
END_REACH = 0.02
"""Half the width of the band at a garment's ends, as a share of the picture's height."""
LEAST_CROP_PX = 8
LIMBS = (Atr.LEFT_ARM, Atr.RIGHT_ARM, Atr.LEFT_LEG, Atr.RIGHT_LEG)
CLOTHES = (Atr.UPPER_CLOTHES, Atr.SKIRT, Atr.PANTS, Atr.DRESS)
FREE, CROSSED, BENT = "arms free", "wrist over trunk", "elbow bent or joint missing"
POSES = (FREE, CROSSED, BENT)
ARMS = (
    (Joint.R_SHOULDER, Joint.R_ELBOW, Joint.R_WRIST),
    (Joint.L_SHOULDER, Joint.L_ELBOW, Joint.L_WRIST),
)
TRUNK = (Joint.R_SHOULDER, Joint.L_SHOULDER, Joint.L_HIP, Joint.R_HIP)


def neckline_box(keypoints: np.ndarray, size_hw: tuple[int, int]) -> tuple[slice, slice] | None:
    """Rows and columns around neck and shoulders, cut to the picture; None where neck or a shoulder
    is missing, or next to nothing is left.

    Args:
        keypoints: (18, 3), x, y in pixels; missing ones are NaN.
    """
    places = keypoints[[Joint.NECK, Joint.R_SHOULDER, Joint.L_SHOULDER], :2]
    if not np.isfinite(places).all():
        return None
    reach = NECK_REACH * float(np.hypot(*(places[1] - places[2])))
    (x, y), (height, width) = places[0], size_hw
    top, bottom = max(0, round(y - reach)), min(height, round(y + reach))
    left, right = max(0, round(x - reach)), min(width, round(x + reach))
    if min(bottom - top, right - left) < LEAST_CROP_PX:
        return None
    return slice(top, bottom), slice(left, right)


def garment_ends(label_map: np.ndarray, category: Category) -> np.ndarray:
    """(H, W) bool: a band where the garment meets a bare limb or another garment: hem, cuffs,
    waistband.

    Args:
        label_map: (H, W) uint8, ATR classes; empty band where the garment ends nowhere so.
    """
    own = is_in(label_map, GARMENT_LABELS[category])
    others = [c for c in CLOTHES if c not in GARMENT_LABELS[category]]
    beyond = is_in(label_map, (*LIMBS, *others))
    grown = lambda region, reach: cv2.dilate(
        region.astype(np.uint8), cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (reach, reach))
    ).astype(bool)
    seam = own & grown(beyond, 3)
    reach = 2 * max(1, round(END_REACH * label_map.shape[0])) + 1
    return grown(seam, reach)


def pose_group(keypoints: np.ndarray) -> str:
    """One of ``POSES``: an elbow below 90 degrees or a missing arm joint, else a wrist before the
    trunk, else arms that are free."""
    places = keypoints[:, :2].astype(np.float64)
    for shoulder, elbow, wrist in ARMS:
        arm = places[[shoulder, elbow, wrist]]
        if not np.isfinite(arm).all() or np.dot(arm[0] - arm[1], arm[2] - arm[1]) > 0:
            return BENT
    trunk = places[list(TRUNK)].astype(np.float32)
    if np.isfinite(trunk).all():
        hull = cv2.convexHull(trunk)
        wrists = (places[wrist] for _, _, wrist in ARMS)
        if any(cv2.pointPolygonTest(hull, tuple(map(float, w)), False) >= 0 for w in wrists):
            return CROSSED
    return FREE
