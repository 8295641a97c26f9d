"""The naked body as grids: DensePose parts, U and V, and light on the skin; hands, feet, shoes and
hair as shapes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np

from pipeline.base.labels import Atr, DensePart, Joint
from pipeline.sample.body import HIP_Y, Body
from pipeline.sample.mesh import Box, affine_of, enlarged, fill_triangles, look_up, triangles

COLUMNS = np.array([-1, -0.8, -0.4, 0, 0.4, 0.8, 1.0])
LIGHT = np.array([-0.55, -0.45])  # towards the light, in the image


@dataclass(frozen=True)
class Part:
    """A grid of the body: points (R, C, 2); values (R, C, 3) U, V, light; DensePose part of each
    cell; its label."""

    points: np.ndarray
    values: np.ndarray
    dense: np.ndarray
    label: Atr


def _lit(points: np.ndarray, t: np.ndarray) -> np.ndarray:
    """(R, C) light of a rounded surface: its sides turn away from the viewer, one of them towards
    the light."""
    across = points[:, -1] - points[:, 0]
    across = across / np.maximum(np.hypot(across[:, 0], across[:, 1]), 1e-6)[:, None]
    facing = np.sqrt(np.clip(1 - (0.93 * t) ** 2, 0, 1))
    return 0.74 + 0.27 * facing[None] + 0.10 * (across @ LIGHT)[:, None] * t[None]


def _values(points: np.ndarray, t: np.ndarray) -> np.ndarray:
    rows, columns = points.shape[:2]
    u = np.broadcast_to(0.06 + 0.9 * (t[None] + 1) / 2, (rows, columns))
    v = np.broadcast_to(np.linspace(0.97, 0.05, rows)[:, None], (rows, columns))
    return np.stack([u, v, _lit(points, t)], 2)


def _columns(left: np.ndarray, right: np.ndarray, t: np.ndarray = COLUMNS) -> np.ndarray:
    return left[:, None] + (right - left)[:, None] * ((t + 1) / 2)[None, :, None]


def torso(body: Body, drop: float) -> Part:
    """Trunk and pelvis: below the hips it narrows to a rounded point, ``drop`` units below the hip
    joints."""
    ys = np.concatenate([np.linspace(-40, 8, 6), np.linspace(24, HIP_Y - 20, 12)])
    steps = np.linspace(0, 1, 6)[1:]
    t = COLUMNS
    height = np.concatenate(
        [
            np.tile(ys[:, None], (1, len(t))),
            ys[-1] + steps[:, None] * (14 + (drop + 6) * (1 - np.abs(t[None]) ** 1.7)),
        ]
    )
    flat = height.ravel()
    axis, across = body.axis(flat)
    width = body.torso_width(flat) * body.scale
    points = (axis + across * (width * np.tile(t, len(height)))[:, None]).reshape(*height.shape, 2)
    part = DensePart.TORSO_FRONT if body.facing > 0 else DensePart.TORSO_BACK
    return Part(points, _values(points, t), np.full((len(height) - 1, len(t) - 1), part), Atr.HEAD)


def head(body: Body) -> list[Part]:
    """Neck and the part of the head below the photo's edge."""
    neck, s = body.joints[Joint.NECK], body.scale
    middle = neck[0] + 20 * body.turn * s
    slim = body.build == "slim"
    ys = np.array([-150, -118, -96, -80, -68, -58, -51, -47])
    half = np.array([49, 47, 43, 37, 29, 20, 11, 3]) * (1 if slim else 1.1)
    if body.facing < 0:
        half = np.array([50, 49, 47, 43, 38, 35, 33, 32]) * (1 if slim else 1.1)
    jaw_x = middle + np.interp(ys, [-150, -47], [6, 10]) * body.turn * s
    jaw = [np.stack([jaw_x + k * half * s, neck[1] + ys * s], 1) for k in (-1, 1)]
    ys = np.array([-86, -66, -50, -40, -30, -22])
    half = np.array([31, 30.5, 30, 31, 34, 38]) * (1 if slim else 1.18)
    stem_x = np.interp(ys, [-86, -22], [middle + 2 * body.turn, neck[0]])
    stem = [np.stack([stem_x + k * half * s, neck[1] + ys * s], 1) for k in (-1, 1)]
    sides = [DensePart.HEAD_RIGHT, DensePart.HEAD_LEFT][:: body.facing]
    parts = []
    for left, right in (stem, jaw):
        points = _columns(left, right)
        dense = np.tile(np.array([sides[0]] * 3 + [sides[1]] * 3), (len(left) - 1, 1))
        if abs(body.turn) > 0.45:  # a head in profile shows one half
            dense[:] = sides[0 if body.turn > 0 else 1]
        parts.append(Part(points, _values(points, COLUMNS), dense, Atr.HEAD))
    parts[0].values[..., 2] *= np.interp(np.arange(6), [0, 2, 4], [0.80, 0.86, 1.0])[
        :, None
    ]  # shadow of the jaw
    return parts


_ARM_PARTS = {
    True: (
        DensePart.UPPER_ARM_RIGHT_OUTER,
        DensePart.UPPER_ARM_RIGHT_INNER,
        DensePart.LOWER_ARM_RIGHT_OUTER,
        DensePart.LOWER_ARM_RIGHT_INNER,
    ),
    False: (
        DensePart.UPPER_ARM_LEFT_OUTER,
        DensePart.UPPER_ARM_LEFT_INNER,
        DensePart.LOWER_ARM_LEFT_OUTER,
        DensePart.LOWER_ARM_LEFT_INNER,
    ),
}


_CAP = ((0.3, 1.0), (0.64, 0.8), (0.88, 0.42))  # the rounding of the shoulder: width, height


def arm(body: Body, right: bool) -> Part:
    """An arm with a rounded shoulder, wrist included."""
    outer, inner = body.limb_edges("arm", right, 22)
    start = (outer[0] + inner[0]) / 2
    up = (outer[0] - outer[1]) / np.hypot(*(outer[0] - outer[1])) * 11 * body.scale
    cap = [start + (edge[0] - start) * k + up * lift for edge in (outer, inner) for k, lift in _CAP]
    outer, inner = np.vstack([cap[:3], outer]), np.vstack([cap[3:], inner])
    points = _columns(outer, inner)
    upper_out, upper_in, lower_out, lower_in = _ARM_PARTS[right]
    dense = np.empty((len(outer) - 1, 6), int)
    half = len(_CAP) + int(np.clip(round(22 * body.bend_share("arm", right)), 3, 19))
    dense[:half, :3], dense[:half, 3:], dense[half:, :3], dense[half:, 3:] = (
        upper_out,
        upper_in,
        lower_out,
        lower_in,
    )
    return Part(points, _values(points, COLUMNS), dense, Atr.RIGHT_ARM if right else Atr.LEFT_ARM)


def leg(body: Body, right: bool) -> Part:
    """A leg from the hip joint to the ankle; its front, or its back when seen from behind."""
    outer, inner = body.limb_edges("leg", right, 24)
    if body.side(right) > 0:
        outer, inner = inner, outer
    points = _columns(outer, inner)
    front = body.facing > 0
    upper, lower = {
        (True, True): (9, 13),
        (True, False): (7, 11),
        (False, True): (10, 14),
        (False, False): (8, 12),
    }[right, front]
    dense = np.full((len(outer) - 1, 6), upper)
    dense[int(round(24 * body.bend_share("leg", right))) :] = lower
    return Part(points, _values(points, COLUMNS), dense, Atr.RIGHT_LEG if right else Atr.LEFT_LEG)


def foot(body: Body, right: bool) -> Part:
    """A foot seen from the front: a grid over its outline."""
    ys = np.array([-12, 2, 16, 30, 44, 58, 66, 71])
    half = np.array([13, 14, 16, 18.5, 20.5, 20, 16, 7])
    turned = [foot_line(body, right, np.stack([k * half, ys], 1)) for k in (-1, 1)]
    points = _columns(*turned)
    part = DensePart.RIGHT_FOOT if right else DensePart.LEFT_FOOT
    label = Atr.RIGHT_LEG if right else Atr.LEFT_LEG
    return Part(points, _values(points, COLUMNS), np.full((len(ys) - 1, 6), part), label)


def foot_line(body: Body, right: bool, points: np.ndarray) -> np.ndarray:
    """Points (across, down) from the ankle, in the frame."""
    ankle, knee = body.chain("leg", right)[2], body.chain("leg", right)[1]
    side = body.side(right)
    shin = np.arctan2(side * (ankle - knee)[0], (ankle - knee)[1])
    angle = side * (0.35 * shin + 0.10) - 0.22 * body.turn
    c, s = np.cos(angle), np.sin(angle)
    return (
        ankle
        + np.stack([points[:, 0] * c + points[:, 1] * s, points[:, 1] * c - points[:, 0] * s], 1)
        * body.scale
    )


# fingers by what the hand does: (start across, start along, length, lean in degrees)
_OPEN = ((-10, 30, 36, -3), (-3.5, 33, 41, -1), (3.5, 33, 39, 1), (10, 29, 30, 4))
_FIST = ((-10, 28, 12, 0), (-3.5, 30, 13, 0), (3.5, 30, 13, 0), (10, 28, 11, 0))
FINGERS = {
    "hanging": _OPEN,
    "flat": _OPEN,
    "tucked": _OPEN,
    "hip": _OPEN,
    "behind": _OPEN,
    "pocket": _OPEN,
    "fist": _FIST,
}


@dataclass(frozen=True)
class Hand:
    """Strokes with round ends: (M, 2, 2) start and end points in the frame, (M,) half-widths; and
    the hand's axis."""

    strokes: np.ndarray
    widths: np.ndarray
    axis: np.ndarray


def hand(body: Body, right: bool) -> Hand:
    """The hand at the end of an arm; its thumb points to the middle of the body."""
    _, elbow, wrist = body.chain("arm", right)
    what = body.arm(right).hand
    along = (wrist - elbow) / max(np.hypot(*(wrist - elbow)), 1e-6)
    side = body.side(right)
    bend = {"hanging": -0.08, "hip": 0.25, "flat": -0.12}.get(what, 0.0) * -side
    c, s = np.cos(bend), np.sin(bend)
    along = np.array([along[0] * c - along[1] * s, along[0] * s + along[1] * c])
    across = np.array([-along[1], along[0]]) * side  # towards the thumb
    size = body.scale * (0.9 if body.build == "slim" else 1.06)
    strokes: list[tuple[Any, ...]] = [
        ((0, -6), (0, 12), 11),
        ((-4, 16), (-4, 32), 13),
        ((4, 16), (5, 30), 12),
    ]
    for x, y, length, lean in FINGERS[what]:
        tip = x + length * np.sin(np.radians(lean)), y + length * np.cos(np.radians(lean))
        strokes.append(((x, y), tip, 4.9))
    strokes += [
        ((9, 14), (17, 32), 5.6),
        ((17, 32), (17.5, 48) if what != "fist" else (10, 40), 4.9),
    ]
    points = np.array([s[:2] for s in strokes], float)
    placed = wrist + (points[..., :1] * across + points[..., 1:] * along) * size
    return Hand(placed, np.array([s[2] for s in strokes]) * size, along)


def draw_hand(shape: Hand, size_hw: tuple[int, int], ratio: float) -> tuple[np.ndarray, Box]:
    """(h, w) uint8 mask of a hand, and the box of the photo that it fills."""
    box = Box.around(shape.strokes * ratio, size_hw, int(16 * ratio) + 2)
    mask = np.zeros((max(0, box.size_hw[0]), max(0, box.size_hw[1])), np.uint8)
    if box.empty:
        return mask, box
    for (start, end), half in zip(
        shape.strokes * ratio - (box.left, box.top), shape.widths * ratio
    ):
        a, b = (tuple(int(v) for v in np.round(p * 16)) for p in (start, end))
        cv2.line(mask, a, b, 255, max(1, round(2 * half)), cv2.LINE_8, 4)
    return mask, box


class BodyPass:
    """Some parts drawn at once, later ones over earlier ones, at the size of the photo.

    Attributes:
        box: the part of the photo that they fill; everything else has its size.
        inside: (h, w) bool; dense, labels: (h, w) uint8; field: (h, w, 3) float32 U, V and light.
    """

    def __init__(self, parts: list[Part], size_hw: tuple[int, int], ratio: float):
        self.box = Box.around(
            np.concatenate([p.points.reshape(-1, 2) for p in parts]) * ratio, size_hw
        )
        self.inside = np.zeros((0, 0), bool)
        if self.box.empty:
            return
        corner = self.box.left, self.box.top
        corners = np.concatenate([triangles(part.points * ratio - corner) for part in parts])
        values = np.concatenate([triangles(part.values) for part in parts])
        index = np.full(self.box.size_hw, -1, np.int32)
        fill_triangles(index, corners)
        self.inside = index >= 0
        self.dense, self.labels = (
            np.concatenate([*columns, [0]]).astype(np.uint8)[index]
            for columns in (
                [np.repeat(p.dense.ravel(), 2) for p in parts],
                [np.full(p.dense.size * 2, p.label) for p in parts],
            )
        )
        self.field = self._field(index, corners, values, 2 if size_hw[0] >= 600 else 1)

    def _field(
        self, index: np.ndarray, corners: np.ndarray, values: np.ndarray, step: int
    ) -> np.ndarray:
        """Values at every pixel, looked up at every second one of large photos; the last entry is
        the background."""
        small = np.ascontiguousarray(index[::step, ::step])
        field = look_up(small, affine_of(corners / step, values))
        if step == 1:
            return field
        known = (small >= 0).astype(np.float32)
        both = enlarged(cv2.merge([*cv2.split(field), known]), step, index.shape)
        *channels, weight = cv2.split(both)
        scale = 1 / np.maximum(weight, 0.05)
        return cv2.merge([channel * scale for channel in channels])
