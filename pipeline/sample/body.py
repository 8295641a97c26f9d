"""The body below the clothes: joints from a pose, outlines from a build, in a frame 768 wide and
1024 high."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from pipeline.base.labels import Joint
from pipeline.sample.mesh import ribbon
from pipeline.sample.person import POSES, Arm, Person, Pose

FRAME_HW = (1024, 768)
HIP_Y, KNEE_Y, ANKLE_Y = 270.0, 512.0, 752.0  # below the neck joint, standing straight

TORSO = {  # half-widths by height below the neck joint
    "slim": np.array(
        [
            (-40, 33),
            (-22, 36),
            (0, 84),
            (30, 81),
            (62, 77),
            (95, 78),
            (135, 72),
            (175, 67),
            (215, 74),
            (255, 84),
            (285, 87),
            (330, 84),
        ],
        float,
    ),
    "broad": np.array(
        [
            (-40, 39),
            (-22, 44),
            (0, 97),
            (30, 95),
            (62, 91),
            (95, 91),
            (135, 87),
            (175, 83),
            (215, 83),
            (255, 86),
            (285, 88),
            (330, 86),
        ],
        float,
    ),
}
ARM = {
    "slim": np.array(
        [
            (0, 20, 20),
            (0.1, 23, 22),
            (0.28, 20, 20),
            (0.46, 16, 17),
            (0.53, 15, 16),
            (0.62, 17, 17),
            (0.8, 13, 13),
            (1, 10.5, 10.5),
        ]
    ),
    "broad": np.array(
        [
            (0, 24, 24),
            (0.1, 28, 27),
            (0.28, 26, 25),
            (0.46, 20, 20),
            (0.53, 18, 19),
            (0.62, 22, 21),
            (0.8, 17, 16),
            (1, 13, 13),
        ]
    ),
}
LEG = {
    "slim": np.array(
        [
            (0, 34, 42),
            (0.06, 40, 43),
            (0.14, 46, 43),
            (0.3, 43, 39),
            (0.44, 32, 31),
            (0.51, 27, 28),
            (0.57, 27, 27),
            (0.68, 33, 29),
            (0.78, 25, 22),
            (0.92, 14, 14),
            (1, 14, 14),
        ]
    ),
    "broad": np.array(
        [
            (0, 36, 43),
            (0.06, 42, 44),
            (0.14, 48, 44),
            (0.3, 47, 42),
            (0.44, 37, 34),
            (0.51, 32, 31),
            (0.57, 31, 30),
            (0.68, 38, 34),
            (0.78, 30, 26),
            (0.92, 17, 17),
            (1, 16, 16),
        ]
    ),
}
"""(share of the length, half-width outside, half-width inside)."""


@dataclass(frozen=True)
class Body:
    """Joints and measures of one posed body.

    Attributes:
        joints: (18, 2) x, y in the frame; wearer's right and left.
        facing: +1 seen from the front, -1 from behind. The wearer's right is at the image's left
            when +1.
        turn: -1..1, how far the front points to the image's right.
    """

    joints: np.ndarray
    pose: Pose
    build: str
    facing: int
    turn: float
    scale: float

    def side(self, right: bool) -> int:
        """-1 where this side of the wearer is at the image's left, +1 at its right."""
        return -self.facing if right else self.facing

    def arm(self, right: bool) -> Arm:
        return self.pose.right if right else self.pose.left

    def chain(self, limb: str, right: bool) -> np.ndarray:
        """(3, 2) joints of an "arm" or a "leg", from the body outwards."""
        first = {("arm", True): 2, ("arm", False): 5, ("leg", True): 8, ("leg", False): 11}[
            limb, right
        ]
        return self.joints[first : first + 3]

    def torso_width(self, y: np.ndarray) -> np.ndarray:
        """Half-width of the torso at heights below the neck joint (unscaled units), turned sideways
        a little."""
        table = TORSO[self.build]
        return np.interp(y, table[:, 0], table[:, 1]) * (1 - 0.24 * abs(self.turn))

    def axis(self, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """(N, 2) points on the middle of the body at heights below the neck, and (N, 2) unit
        directions across.

        Below the hips the axis hangs straight down, drawn a little after the legs.
        """
        y = np.asarray(y, float)
        j = self.joints
        hips, neck = j[[Joint.R_HIP, Joint.L_HIP]].mean(0), j[Joint.NECK]
        share = np.clip(y / HIP_Y, -0.2, 1)[:, None]
        points = neck + (hips - neck) * share
        below = np.clip(y - HIP_Y, 0, None)[:, None] * self.scale
        knees = j[[Joint.R_KNEE, Joint.L_KNEE]].mean(0)
        sway = 0.8 * (knees - hips)[0] / max(1.0, (knees - hips)[1])
        points = points + below * np.array([sway, 1.0])
        shoulders, hip_line = (j[b] - j[a] for a, b in ((2, 5), (8, 11)))
        across = shoulders / np.hypot(*shoulders) * (1 - np.clip(share, 0, 1))
        across = (across + hip_line / np.hypot(*hip_line) * np.clip(share, 0, 1)) * self.facing
        return points, across / np.hypot(across[:, 0], across[:, 1])[:, None]

    def torso_edges(self, y: np.ndarray, half_width: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Edges at the image's left and right of a horizontal slice of given half-width (unscaled
        units)."""
        points, across = self.axis(y)
        reach = across * (np.asarray(half_width)[:, None] * self.scale)
        return points - reach, points + reach

    def limb_edges(self, limb: str, right: bool, rows: int = 22) -> tuple[np.ndarray, np.ndarray]:
        """Outer and inner edge of the naked limb, ``rows`` points each."""
        profile = (ARM if limb == "arm" else LEG)[self.build] * (1, self.scale, self.scale)
        if self.side(right) < 0:  # normals point to the image's right on a line that runs down
            profile = profile[:, [0, 2, 1]]
        left, right_edge = ribbon(
            self.chain(limb, right), profile, rows, 0.2 if limb == "arm" else 0.12
        )
        return (left, right_edge) if self.side(right) > 0 else (right_edge, left)


def _reach(start: np.ndarray, angles, lengths, side: int) -> list[np.ndarray]:
    points = [start]
    for angle, length in zip(np.radians(angles), lengths):
        points.append(points[-1] + length * np.array([side * np.sin(angle), np.cos(angle)]))
    return points


def build_body(person: Person) -> Body:
    """The posed body of a person, joints at the middle of each limb."""
    pose, s, n = POSES[person.pose], person.scale, person.jitter
    facing = -1 if pose.back else 1
    turn = float(np.clip(pose.turn + 0.07 * n[0], -0.7, 0.7))
    broad = person.build == "broad"
    neck = np.array([person.centre, 114 + 4 * n[1]])
    tilt, lean = np.radians(1.2 * n[2]), np.radians(0.8 * n[3] + 4 * turn * 0.4)
    shoulder = (78 if not broad else 90) * (1 - 0.24 * abs(turn)) * s
    hips = neck + HIP_Y * s * np.array([-np.sin(lean), np.cos(lean)])
    hip = (47 if not broad else 45) * (1 - 0.15 * abs(turn)) * s
    joints = np.zeros((18, 2))
    joints[Joint.NECK] = neck
    for right, first_arm, first_leg in ((True, 2, 8), (False, 5, 11)):
        side = -facing if right else facing
        arm, legs = (pose.right, pose.legs[0]) if right else (pose.left, pose.legs[1])
        start = neck + side * shoulder * np.array([np.cos(tilt), np.sin(tilt)]) + (0, 6 * s)
        k = 4 + 2 * right
        spread = 2.0 if arm.hand in ("hanging", "behind") else 1.0
        angles = (arm.upper + spread * n[k], arm.lower + spread * n[k] + 1.5 * n[k + 1])
        lengths = (
            156 * s * arm.reach[0] * (1.04 if broad else 1),
            136 * s * arm.reach[1] * (1.04 if broad else 1),
        )
        joints[first_arm : first_arm + 3] = _reach(start, angles, lengths, side)
        start = hips + side * hip * np.array([np.cos(-tilt), np.sin(-tilt)])
        bent = 0.93 if (legs[0] > 6 and legs[1] > 3) else 1.0
        lengths = (KNEE_Y - HIP_Y) * s * (1 - 0.02 * (bent < 1)), (ANKLE_Y - KNEE_Y) * s * bent
        joints[first_leg : first_leg + 3] = _reach(
            start, (legs[0] + 0.7 * n[8 + right], legs[1] + 0.7 * n[10 + right]), lengths, side
        )
    _place_head(joints, neck, turn, facing, s)
    return Body(joints, pose, person.build, facing, turn, s)


def _place_head(joints: np.ndarray, neck: np.ndarray, turn: float, facing: int, s: float) -> None:
    """Nose, eyes and ears lie above the photo's edge: the data set gives them y = 0."""
    offsets = {Joint.NOSE: 0, Joint.R_EYE: -20, Joint.L_EYE: 20, Joint.R_EAR: -44, Joint.L_EAR: 44}
    for joint, offset in offsets.items():
        joints[joint] = neck[0] + (facing * offset * (1 - 0.3 * abs(turn)) + 26 * turn) * s, 0
