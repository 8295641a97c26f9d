"""Sets of human parsing classes: ATR, LIP, CIHP; translated into the dataset's, and told apart."""

from __future__ import annotations

import numpy as np

from pipeline.base.labels import N_ATR, Atr, Joint

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
"""Name of a set of classes -> the dataset's class for each of its own (LIP: Gong et al., 2017).
Coats are upper clothes, jumpsuits dresses."""
TABLES["cihp"] = (*TABLES["lip"][:10], Atr.HEAD, *TABLES["lip"][11:])
"""As LIP, but class 10 is the skin of neck and chest (Gong et al., 2018); VITON-HD's maps are of
this kind."""

_TOP = frozenset({Atr.UPPER_CLOTHES, Atr.DRESS})
_BELOW = frozenset({Atr.SKIRT, Atr.PANTS, Atr.DRESS})
_ARM = _TOP | {Atr.LEFT_ARM, Atr.RIGHT_ARM}
_LEG = _BELOW | {Atr.LEFT_LEG, Atr.RIGHT_LEG}
_FOOT = _LEG | {Atr.LEFT_SHOE, Atr.RIGHT_SHOE}
EXPECTED: dict[Joint, frozenset[int]] = {
    Joint.R_ELBOW: _ARM,
    Joint.L_ELBOW: _ARM,
    Joint.R_WRIST: _ARM,
    Joint.L_WRIST: _ARM,
    Joint.R_KNEE: _LEG,
    Joint.L_KNEE: _LEG,
    Joint.R_ANKLE: _FOOT,
    Joint.L_ANKLE: _FOOT,
}
"""Joint -> what a map may call the person there, in the dataset's classes."""
TRUNK_WEIGHT = 4.0
LEAST_CLEAR = 0.3
"""By how much another set has to explain a map better before it is called the right one."""


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


def likely_set(labels: np.ndarray, keypoints: np.ndarray, given: str = "atr") -> str:
    """The set whose classes explain a map, ``given`` unless another does clearly better.

    The trunk has to be upper clothes or a dress, elbows, knees and ankles what they can be.

    Args:
        labels: (H, W) uint8, class numbers as the file has them.
        keypoints: (18, 3) in its pixels, NaN where missing.
        given: a key of ``TABLES``.
    """
    trunk = _trunk_classes(labels, keypoints)
    joints = _joint_classes(labels, keypoints)
    if not len(trunk):
        return given
    scores = {}
    for name, table in TABLES.items():
        if labels.max() < len(table):
            scores[name] = _explained(np.array(table, np.uint8), trunk, joints)
    if given not in scores:
        return max(scores, key=lambda n: scores[n], default=given)
    best = max(scores, key=lambda n: (scores[n], n == given))
    return best if scores[best] > scores[given] + LEAST_CLEAR else given


def _explained(
    table: np.ndarray, trunk: np.ndarray, joints: list[tuple[frozenset[int], int]]
) -> float:
    """Weighted share, 0 to 1, of trunk pixels and joints that the table gives a class of theirs."""
    right = TRUNK_WEIGHT * float(np.isin(table[trunk], list(_TOP)).mean())
    right += sum(int(table[label]) in allowed for allowed, label in joints)
    return right / (TRUNK_WEIGHT + len(joints))


def _trunk_classes(labels: np.ndarray, keypoints: np.ndarray) -> np.ndarray:
    """Classes of the person on the line from neck to the middle of the hips and beside it."""
    corners = keypoints[[Joint.R_SHOULDER, Joint.L_SHOULDER, Joint.R_HIP, Joint.L_HIP], :2]
    if not np.isfinite(corners).all():
        return np.zeros(0, np.uint8)
    down, across = np.meshgrid(np.linspace(0.2, 0.75, 23), np.linspace(0.2, 0.8, 13))
    shoulders = corners[0] + across[..., None] * (corners[1] - corners[0])
    hips = corners[2] + across[..., None] * (corners[3] - corners[2])
    points = shoulders + down[..., None] * (hips - shoulders)
    found = _at(labels, points.reshape(-1, 2))
    return found[found > 0]


def _joint_classes(labels: np.ndarray, keypoints: np.ndarray) -> list[tuple[frozenset[int], int]]:
    found = []
    for joint, allowed in EXPECTED.items():
        if np.isfinite(keypoints[joint, 0]):
            label = int(_at(labels, keypoints[joint, None, :2])[0])
            if label:
                found.append((allowed, label))
    return found


def _at(labels: np.ndarray, points_xy: np.ndarray) -> np.ndarray:
    x = np.clip(np.rint(points_xy[:, 0]).astype(int), 0, labels.shape[1] - 1)
    y = np.clip(np.rint(points_xy[:, 1]).astype(int), 0, labels.shape[0] - 1)
    return labels[y, x]
