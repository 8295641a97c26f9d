"""Every id of the dataset's annotations, with its source, and what mirroring does to it.

Left and right are the wearer's throughout.
"""

from __future__ import annotations

from enum import IntEnum, StrEnum

import numpy as np


class Category(StrEnum):
    """Garment category; the value is the folder's name, ``index`` the third column of the root pair
    lists."""

    UPPER_BODY = "upper_body"
    LOWER_BODY = "lower_body"
    DRESSES = "dresses"

    @property
    def index(self) -> int:  # type: ignore[override]
        return list(Category).index(self)


class Joint(IntEnum):
    """OpenPose COCO-18 row order (Cao et al., 2017); not BODY_25."""

    NOSE = 0
    NECK = 1
    R_SHOULDER = 2
    R_ELBOW = 3
    R_WRIST = 4
    L_SHOULDER = 5
    L_ELBOW = 6
    L_WRIST = 7
    R_HIP = 8
    R_KNEE = 9
    R_ANKLE = 10
    L_HIP = 11
    L_KNEE = 12
    L_ANKLE = 13
    R_EYE = 14
    L_EYE = 15
    R_EAR = 16
    L_EAR = 17


class Atr(IntEnum):
    """Human parsing classes of the ATR set (Liang et al., 2015), as Dress Code stores them.

    Skirts are stored as PANTS in every map that was looked at; legs and arms are skin only, hands
    belong to arms.
    """

    BACKGROUND = 0
    HAT = 1
    HAIR = 2
    SUNGLASSES = 3
    UPPER_CLOTHES = 4
    SKIRT = 5
    PANTS = 6
    DRESS = 7
    BELT = 8
    LEFT_SHOE = 9
    RIGHT_SHOE = 10
    HEAD = 11
    LEFT_LEG = 12
    RIGHT_LEG = 13
    LEFT_ARM = 14
    RIGHT_ARM = 15
    BAG = 16
    SCARF = 17


class DensePart(IntEnum):
    """DensePose part index I (Güler et al., 2018). The pelvis belongs to the torso."""

    BACKGROUND = 0
    TORSO_BACK = 1
    TORSO_FRONT = 2
    RIGHT_HAND = 3
    LEFT_HAND = 4
    LEFT_FOOT = 5
    RIGHT_FOOT = 6
    UPPER_LEG_RIGHT_BACK = 7
    UPPER_LEG_LEFT_BACK = 8
    UPPER_LEG_RIGHT_FRONT = 9
    UPPER_LEG_LEFT_FRONT = 10
    LOWER_LEG_RIGHT_BACK = 11
    LOWER_LEG_LEFT_BACK = 12
    LOWER_LEG_RIGHT_FRONT = 13
    LOWER_LEG_LEFT_FRONT = 14
    UPPER_ARM_LEFT_INNER = 15
    UPPER_ARM_RIGHT_INNER = 16
    UPPER_ARM_LEFT_OUTER = 17
    UPPER_ARM_RIGHT_OUTER = 18
    LOWER_ARM_LEFT_INNER = 19
    LOWER_ARM_RIGHT_INNER = 20
    LOWER_ARM_LEFT_OUTER = 21
    LOWER_ARM_RIGHT_OUTER = 22
    HEAD_RIGHT = 23
    HEAD_LEFT = 24


N_JOINTS, N_ATR, N_DENSE = len(Joint), len(Atr), len(DensePart)

GARMENT_LABELS: dict[Category, tuple[Atr, ...]] = {
    Category.UPPER_BODY: (Atr.UPPER_CLOTHES,),
    Category.LOWER_BODY: (Atr.SKIRT, Atr.PANTS),
    Category.DRESSES: (Atr.DRESS,),
}
"""Labels of the garment that a category is about."""

_JOINT_PAIRS = ((2, 5), (3, 6), (4, 7), (8, 11), (9, 12), (10, 13), (14, 15), (16, 17))


def _mirror_table(size: int, pairs: tuple[tuple[int, int], ...]) -> np.ndarray:
    table = np.arange(size, dtype=np.uint8)
    for a, b in pairs:
        table[a], table[b] = b, a
    table.setflags(write=False)
    return table


MIRROR_JOINTS = _mirror_table(N_JOINTS, _JOINT_PAIRS)
"""(18,) uint8: ``keypoints[MIRROR_JOINTS]`` puts each joint where its mirror image belongs."""


def is_in(labels: np.ndarray, ids) -> np.ndarray:
    """(H, W) bool: where a uint8 map holds one of ``ids``. A table look-up: several times faster
    than np.isin."""
    table = np.zeros(256, bool)
    table[[int(i) for i in ids]] = True
    return table[labels]
