"""The body below the clothes: joints from a pose, outlines from a build, in a frame 768 wide and
1024 high."""

from __future__ import annotations

import functools
from dataclasses import dataclass

import numpy as np

from pipeline.base.labels import Joint
from pipeline.sample.mesh import ribbon
from pipeline.sample.poses import Arm, Stance
from pipeline.sample.statistics import body_values, unit_of
from pipeline.sample.wearer import Wearer

FRAME_HW = (1024, 768)
U = 156.0  # units of the frame to a u of ``statistics``, at scale 1
HIP_Y, KNEE_Y, ANKLE_Y = 270.0, 512.0, 752.0  # below the neck joint; bodies stretch between them
ELBOW = 0.53  # share of the arm's length

TORSO = {  # half-widths by height below the neck joint
    "slim": np.array(
        [
            (-40, 33),
            (-22, 36),
            (0, 84),
            (30, 81),
            (62, 79),
            (95, 81),
            (135, 77),
            (175, 73),
            (215, 79),
            (255, 87),
            (285, 89),
            (330, 86),
        ],
        float,
    ),
    "broad": np.array(
        [
            (-40, 37),
            (-22, 41),
            (0, 88),
            (30, 86),
            (62, 83),
            (95, 84),
            (135, 80),
            (175, 76),
            (215, 78),
            (255, 83),
            (285, 85),
            (330, 82),
        ],
        float,
    ),
}
ARM = {
    "slim": np.array(
        [
            (0, 18, 18),
            (0.1, 20.5, 19.5),
            (0.28, 18, 17.5),
            (0.46, 14.5, 15),
            (0.53, 13.5, 14),
            (0.62, 15.5, 15),
            (0.8, 12, 11.5),
            (1, 9.5, 9.5),
        ]
    ),
    "broad": np.array(
        [
            (0, 20, 20),
            (0.1, 23, 22),
            (0.28, 21, 20),
            (0.46, 17, 17),
            (0.53, 15.5, 16),
            (0.62, 18, 17.5),
            (0.8, 14, 13.5),
            (1, 11, 11),
        ]
    ),
}
LEG = {
    "slim": np.array(
        [
            (0, 34, 44),
            (0.06, 38, 44),
            (0.14, 41, 43),
            (0.3, 36, 34),
            (0.44, 29, 28),
            (0.51, 25, 26),
            (0.57, 25, 25),
            (0.68, 30, 26),
            (0.78, 23, 20),
            (0.92, 13.5, 13.5),
            (1, 13.5, 13.5),
        ]
    ),
    "broad": np.array(
        [
            (0, 34, 44),
            (0.06, 38, 44),
            (0.14, 42, 44),
            (0.3, 39, 36),
            (0.44, 32, 30),
            (0.51, 28, 28),
            (0.57, 28, 27),
            (0.68, 33, 30),
            (0.78, 27, 23),
            (0.92, 16, 16),
            (1, 15, 15),
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
        scale: frame units to a unit of the tables here.
        breadth: how broad shoulders and hips are, as shares of the tables' widths.
    """

    joints: np.ndarray
    pose: Stance
    build: str
    facing: int
    turn: float
    scale: float
    breadth: tuple[float, float]

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
        """Half-width of the torso at heights below the neck joint (unscaled units)."""
        table = TORSO[self.build]
        return np.interp(y, table[:, 0], table[:, 1]) * self.breadth_at(y)

    def breadth_at(self, y: np.ndarray) -> np.ndarray:
        """How broad the body is at heights below the neck joint, as a share of the tables'."""
        return np.interp(y, (-20, 0, HIP_Y), (1, *self.breadth))

    @functools.cached_property
    def leg_scale(self) -> float:
        """Frame units to a unit below the hips: the tables' legs reach to the ankles."""
        j = self.joints
        hips, ankles = (
            j[[Joint.R_HIP, Joint.L_HIP]].mean(0),
            j[[Joint.R_ANKLE, Joint.L_ANKLE]].mean(0),
        )
        return float(ankles[1] - hips[1]) / (ANKLE_Y - HIP_Y)

    def bend_share(self, limb: str, right: bool) -> float:
        """Where on a limb's length, as it is seen, its elbow or knee lies."""
        first, second = np.hypot(*np.diff(self.chain(limb, right), axis=0).T)
        return float(np.clip(first / max(first + second, 1e-6), 0.2, 0.85))

    def seen_share(self, limb: str, right: bool, share: np.ndarray) -> np.ndarray:
        """Shares of a limb's own length -> shares of its length as it is seen."""
        middle = ELBOW if limb == "arm" else (KNEE_Y - HIP_Y) / (ANKLE_Y - HIP_Y)
        share = np.asarray(share, float)
        bent = np.interp(share, (0, middle, 1), (0, self.bend_share(limb, right), 1))
        return np.where(share < 0, share, np.where(share > 1, share, bent))

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
        below = np.clip(y - HIP_Y, 0, None)[:, None] * self.leg_scale
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
        profile[:, 0] = self.seen_share(limb, right, profile[:, 0])
        if self.side(right) < 0:  # normals point to the image's right on a line that runs down
            profile = profile[:, [0, 2, 1]]
        left, right_edge = ribbon(
            self.chain(limb, right), profile, rows, 0.2 if limb == "arm" else 0.12
        )
        return (left, right_edge) if self.side(right) > 0 else (right_edge, left)


def build_body(person: Wearer) -> Body:
    """The posed body of a person, joints at the middle of each limb."""
    stance = person.stance
    joints = stance.joints * (FRAME_HW[1] / 384)
    u = float(unit_of(joints[None])[0])
    values = {name: float(v[0]) for name, v in body_values(joints[None]).items() if v.ndim == 1}
    facing = -1 if stance.back else 1
    breadth = values["shoulder_width"], float(np.clip(values["hip_width"] / 0.64, 0.7, 1.3) ** 0.2)
    body = Body(joints, stance, person.build, facing, stance.turn, u / U, breadth)
    _place_head(joints, joints[Joint.NECK], body.turn, facing, body.scale)
    return body


def _place_head(joints: np.ndarray, neck: np.ndarray, turn: float, facing: int, s: float) -> None:
    """Nose, eyes and ears lie above the photo's edge: the data set gives them y = 0."""
    offsets = {Joint.NOSE: 0, Joint.R_EYE: -20, Joint.L_EYE: 20, Joint.R_EAR: -44, Joint.L_EAR: 44}
    for joint, offset in offsets.items():
        joints[joint] = neck[0] + (facing * offset * (1 - 0.3 * abs(turn)) + 26 * turn) * s, 0
