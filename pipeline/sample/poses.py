"""How people stand: poses with the statistics of real people, and what arms and hands do in them.

``poses.npz`` holds 1,000 poses a category, in the places where people stand in photos. They are
drawn about the real people's clusters and chosen so that every quantile of ``statistics.json``
holds (``scripts/fit_sample_poses.py``); nobody ever stood so.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.base.labels import Category, Joint
from pipeline.sample.statistics import body_values, wrists_over_trunk

POSES_FILE = Path(__file__).parent / "poses.npz"
JOINTS = 13
"""Neck, right and left arm, right and left leg: rows 1 to 13 of the keypoints."""

POSES = (
    "standing",
    "relaxed",
    "walking",
    "legs crossed",
    "turned right",
    "turned left",
    "hand on hip",
    "hands on hips",
    "hand in pocket",
    "hands in pockets",
    "arm across",
    "arms crossed",
    "hand raised",
    "hands behind",
    "bag before",
    "seen from behind",
)
"""Names of poses; one that fits several has the last of these."""


@dataclass(frozen=True)
class Arm:
    """What a hand does ("hanging", "hip", "pocket", "flat" on the body or in the air, "fist", or
    "behind" the back), and whether the arm lies in "front" of the clothes or "behind" the body."""

    hand: str = "hanging"
    place: str = "front"


@dataclass(frozen=True)
class Stance:
    """One pose.

    Attributes:
        name: one of ``POSES``.
        joints: (18, 2) in the frame of 384 x 512, NaN for the head.
        right, left: the arms.
        turn: -1..1, how far the front points to the image's right.
        back: seen from behind.
    """

    name: str
    joints: np.ndarray
    right: Arm
    left: Arm
    turn: float
    back: bool


@functools.cache
def stored_poses() -> dict[str, np.ndarray]:
    """Category -> (1000, 13, 2) float, places in the frame of 384 x 512."""
    with np.load(POSES_FILE) as archive:
        return {name: archive[name].astype(float) for name in archive.files}


def draw_stance(category: Category, rng: np.random.Generator, bag: bool = False) -> Stance:
    """A pose of the category's people; ``bag``: both hands hold one if they come together."""
    poses = stored_poses()[str(category)]
    joints = np.full((18, 2), np.nan)
    joints[1 : 1 + JOINTS] = poses[int(rng.integers(len(poses)))]
    joints += rng.uniform(-0.5, 0.5, joints.shape) + rng.uniform(-1, 1, 2)
    if rng.random() < 0.002:  # ten times as often as among real people, so that a sample has some
        joints[[2, 3, 4, 5, 6, 7]] = joints[[5, 6, 7, 2, 3, 4]]
        joints[[8, 9, 10, 11, 12, 13]] = joints[[11, 12, 13, 8, 9, 10]]
    return read_stance(joints, rng, bag)


def read_stance(joints: np.ndarray, rng: np.random.Generator, bag: bool = False) -> Stance:
    """What a body does whose joints lie so: hands near the hips may rest on them or be in a
    pocket, and a body with narrow shoulders is turned."""
    back = bool(joints[Joint.R_SHOULDER, 0] > joints[Joint.L_SHOULDER, 0])
    values = {name: np.squeeze(v, 0) for name, v in body_values(joints[None]).items()}
    over = wrists_over_trunk(joints[None])[0]
    narrow = float(values["shoulder_width"] / (0.585 * values["neck_to_hips"]))
    turn = np.clip((1 - narrow) / 0.24, 0, 0.75) * (1 if rng.random() < 0.5 else -1)
    arms = [_read_arm(side, values, bool(over[side]), rng) for side in (0, 1)]
    if back:
        arms = [Arm() if arm.hand in ("pocket", "behind") else arm for arm in arms]
    wrists = joints[[Joint.R_WRIST, Joint.L_WRIST]]
    apart = np.abs(wrists[0] - wrists[1]) / values["u_px_of_512"]
    low = wrists[:, 1].min() > joints[[Joint.R_ELBOW, Joint.L_ELBOW], 1].mean()
    if bag and low and not back and apart[0] < 0.55 and apart[1] < 0.35:
        arms = [Arm("fist"), Arm("fist")]
        return Stance("bag before", joints, arms[0], arms[1], float(turn), back)
    name = "seen from behind" if back else _name(arms, values, joints, over, float(turn))
    return Stance(name, joints, arms[0], arms[1], float(turn), back)


def _read_arm(side: int, values: dict[str, Any], over: bool, rng: np.random.Generator) -> Arm:
    def of(name: str) -> float:
        return float(values[name][side])

    bent, outwards, down = (
        of("elbow_angle"),
        of("wrist_x_from_hip_outwards"),
        of("wrist_y_below_hip"),
    )
    away, chance = of("upper_arm_from_down"), rng.random()
    if over:
        hidden = bent > 110 and down > -0.75 and of("forearm") < 0.75
        return Arm("behind", "behind") if hidden and chance < 0.5 else Arm("flat")
    if down < -1.0:
        return Arm("flat")
    if bent < 150 and away > 12 and -0.75 < down < 0.15 and outwards < 0.42:
        return Arm("pocket") if down > -0.4 and chance < 0.6 else Arm("hip")
    if bent < 166 and outwards < 0.22 and -0.35 < down < 0.3:
        return Arm("pocket") if chance < 0.7 else Arm()
    return Arm()


def _name(
    arms: list[Arm], values: dict[str, Any], joints: np.ndarray, over: np.ndarray, turn: float
) -> str:
    hands = [arm.hand for arm in arms]
    if "behind" in hands:
        return "hands behind"
    if (values["wrist_y_below_hip"] < -1.0).any() and not over.all():
        return "hand raised"
    if over.any() or "flat" in hands:
        return "arms crossed" if over.all() else "arm across"
    for hand, one, both in (
        ("pocket", "hand in pocket", "hands in pockets"),
        ("hip", "hand on hip", "hands on hips"),
    ):
        if hand in hands:
            return both if hands == [hand, hand] else one
    if abs(turn) > 0.45:
        return "turned right" if turn > 0 else "turned left"
    if joints[Joint.R_ANKLE, 0] > joints[Joint.L_ANKLE, 0]:
        return "legs crossed"
    apart = float(values["ankle_distance"])
    return "walking" if apart > 0.85 else ("relaxed" if apart > 0.45 else "standing")
