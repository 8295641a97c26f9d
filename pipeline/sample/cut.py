"""Garments cut from cloth: each is one to four flat pieces with an outline, in units of the body
frame.

A piece's own frame has x to the image's right from the middle of the body (or of the sleeve) and y
downwards from the neck joint (or from the sleeve's head). The in-shop picture places the pieces by
turning and shifting them; the worn garment bends them over the body (``wear``). Both use the same
texture.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import cv2
import numpy as np

from pipeline.sample.body import HIP_Y, TORSO
from pipeline.sample.cloth import make_cloth
from pipeline.sample.wardrobe import Garment

CROTCH_Y, WAIST_Y, LEG_AXIS, ARM_LENGTH = 322.0, 186.0, 46.0, 296.0
MARGIN = 14.0  # cloth beyond the outline, so that edges can be looked up smoothly


@dataclass
class Piece:
    """One flat piece.

    Attributes:
        name: "trunk", "skirt", "panel right", "panel left", "sleeve right", "sleeve left", "leg
            right", "leg left".
        ys: (R,) heights of the rows, in units.
        left, right: (R,) x of the outline at those heights, in units.
        outline: list of (N, 2) polygons in units: filled where there is cloth.
        turn: degrees that the in-shop picture turns the piece about its origin, clockwise positive.
        at: where the in-shop picture puts the piece's origin, in units.
        rgb, alpha: (h, w, 3) and (h, w) uint8: the unshaded cloth, and where there is some.
        scale: texture pixels per unit.
        origin: texture pixel of the piece's (0, 0).
    """

    name: str
    ys: np.ndarray
    left: np.ndarray
    right: np.ndarray
    outline: list[np.ndarray]
    turn: float = 0.0
    at: tuple[float, float] = (0.0, 0.0)
    rgb: np.ndarray = field(default_factory=lambda: np.zeros((0, 0, 3), np.uint8))
    alpha: np.ndarray = field(default_factory=lambda: np.zeros((0, 0), np.uint8))
    scale: float = 1.0
    origin: tuple[float, float] = (0.0, 0.0)

    def pixels(self, points: np.ndarray) -> np.ndarray:
        """Texture pixels of points (N, 2) in units."""
        return np.asarray(points, float) * self.scale + self.origin

    def corners(self) -> np.ndarray:
        """(4, 2) corners of the outline's box, where the in-shop picture puts them, in units."""
        points = np.concatenate(self.outline)
        (x0, y0), (x1, y1) = points.min(0), points.max(0)
        return np.array([(x0, y0), (x1, y0), (x1, y1), (x0, y1)]) @ _turned(self.turn).T + self.at


def _turned(degrees: float) -> np.ndarray:
    c, s = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    return np.array([(c, -s), (s, c)])


def smooth_line(points, steps: int = 10) -> np.ndarray:
    """(N, 2) points of a soft curve (Catmull-Rom) through the given ones, ends included."""
    p = np.asarray(points, float)
    p = np.vstack([2 * p[0] - p[1], p, 2 * p[-1] - p[-2]])
    t = np.linspace(0, 1, steps, endpoint=False)[:, None]
    parts = [
        0.5
        * (
            2 * b
            + (c - a) * t
            + (2 * a - 5 * b + 4 * c - d) * t**2
            + (3 * b - a - 3 * c + d) * t**3
        )
        for a, b, c, d in zip(p, p[1:], p[2:], p[3:])
    ]
    return np.vstack([*parts, p[-2:-1]])


def shoulder_line(x) -> np.ndarray:
    """Height of the shoulder seam at a distance from the middle."""
    return np.interp(np.abs(x), [30, 40, 88], [-27, -24, 3])


NECK_SHAPES: dict[str, tuple[float, float, float]] = {
    "crew": (39, 6, 2.2),
    "v": (39, 92, 1.0),
    "scoop": (52, 58, 2.0),
    "boat": (64, 8, 2.4),
    "turtle": (33, -14, 2.0),
    "collar": (36, 30, 1.0),
    "lapel": (38, 128, 1.0),
    "back": (38, -14, 2.2),
}
"""Half-width, depth and roundness (1: a V, 2: an ellipse) of the opening."""


def trunk_width(garment: Garment, y) -> np.ndarray:
    """Half-width of the garment round the body at heights below the neck joint, on the flat, in
    units."""
    y = np.asarray(y, float)
    table = TORSO["slim"]
    body = np.interp(np.clip(y, 62, HIP_Y + 14), table[:, 0], table[:, 1])
    loose = np.clip(garment.ease / 22, 0, 1)  # loose clothes fall straight from the chest
    body = body * (1 - loose) + np.maximum(body, 80) * loose
    width = body + garment.ease * np.interp(y, [40, 90], [0.35, 1.0])
    start = HIP_Y - 20
    run = max(60.0, garment.hem - start)
    width = width + garment.flare * np.clip((y - start) / run, 0, 1.05) ** 1.15
    return np.where(y < 62, np.minimum(88, np.maximum(width, 86)) if garment.sleeve else 84, width)


def _neckline(garment: Garment) -> np.ndarray:
    """Points from the image's left shoulder to the right one along the opening."""
    half, depth, power = NECK_SHAPES[garment.neck]
    x = np.linspace(-half, half, 25)
    top = shoulder_line(half)
    return np.stack([x, top + (depth - top) * (1 - np.abs(x / half) ** power)], 1)


def _sides(garment: Garment, top: float) -> tuple[np.ndarray, np.ndarray]:
    ys = np.linspace(top, garment.hem, 26)
    width = trunk_width(garment, ys)
    return np.stack([-width, ys], 1), np.stack([width, ys], 1)


def _hem_line(garment: Garment) -> np.ndarray:
    """Points from the right end to the left one, hanging a little in the middle."""
    width = float(trunk_width(garment, garment.hem))
    t = np.linspace(1, -1, 21)
    sag = 4 + 0.05 * max(0.0, garment.flare)
    return np.stack([t * width, garment.hem + sag * (1 - t**2)], 1)


def trunk_outline(garment: Garment) -> list[np.ndarray]:
    """Polygons of the body of a top or dress, in units."""
    hem = _hem_line(garment)
    if garment.neck in ("straps", "strapless"):
        left, right = _sides(garment, 66)
        top = smooth_line([left[0], (-62, 44), (-34, 40), (0, 60), (34, 40), (62, 44), right[0]])
        body = [np.vstack([top, right, hem, left[::-1]])]
        if garment.neck == "strapless":
            return body
        end = float(shoulder_line(54)) - 3
        return body + [
            np.array([(x - 5, end), (x + 5, end), (x + 3, 48), (x - 7, 48)]) for x in (-50.0, 52.0)
        ]
    if garment.neck == "one shoulder":
        left, right = _sides(garment, 70)
        top = smooth_line(
            [left[0], (-70, 40), (-72, -4), (-44, -22), (-26, 8), (20, 44), (60, 54), right[0]]
        )
        return [np.vstack([top, right, hem, left[::-1]])]
    left, right = _sides(garment, 68)
    half = NECK_SHAPES[garment.neck][0]
    if garment.sleeve:
        hole = np.array([(float(trunk_width(garment, 10)), 4), (86, 34)])
    else:
        tip = max(64.0, half + 14)
        hole = np.array([(tip + 5, float(shoulder_line(tip + 5))), (tip, 26), (70, 52)])
    shoulder = np.array([(half, shoulder_line(half))])
    tip_curve = np.vstack([smooth_line([*hole, right[0]], 6)])
    return [
        np.vstack(
            [
                _neckline(garment),
                shoulder,
                tip_curve,
                right,
                hem,
                left[::-1],
                tip_curve[::-1] * (-1, 1),
                shoulder * (-1, 1),
            ]
        )
    ]


def _trunk(garment: Garment) -> Piece:
    hem = garment.hem + 12 + 0.06 * max(0.0, garment.flare)
    ys = np.unique(
        np.concatenate([np.linspace(-46, 62, 6), np.linspace(62, hem, int(8 + (hem - 62) / 42))])
    )
    width = trunk_width(garment, ys)
    return Piece("trunk", ys, -width, width, trunk_outline(garment))


def _skirt(garment: Garment) -> Piece:
    ys = np.linspace(
        WAIST_Y - 4,
        garment.hem + 12 + 0.06 * max(0, garment.flare),
        int(8 + (garment.hem - 180) / 40),
    )
    width = trunk_width(garment, ys)
    line = ys[(ys < garment.hem)]
    side = np.stack([trunk_width(garment, line), line], 1)
    side[0, 1] = WAIST_Y
    waist = np.array(
        [
            (x, WAIST_Y + 3 * (1 - (x / side[0, 0]) ** 2))
            for x in np.linspace(-side[0, 0], side[0, 0], 9)
        ]
    )
    return Piece(
        "skirt",
        ys,
        -width,
        width,
        [np.vstack([waist, side, _hem_line(garment), side[::-1] * (-1, 1)])],
    )


def leg_edges(garment: Garment, ys: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Inner and outer x of a trouser leg on the flat, for the side to the image's right."""
    table = TORSO["slim"]
    hip = np.interp(np.clip(ys, 0, 285), table[:, 0], table[:, 1]) + garment.ease * np.interp(
        ys, [180, 230], [0.2, 1]
    )
    below = np.clip(ys - CROTCH_Y, 0, None)
    half = np.interp(ys, [CROTCH_Y, 400, 512, 570, 750], [43, 37, 29, 27, 20])
    half = half + garment.ease * np.interp(ys, [CROTCH_Y, 420], [0.45, 1])
    half = half + garment.flare * np.clip(below / max(60.0, garment.hem - CROTCH_Y), 0, 1) ** 1.1
    apart = np.minimum(half + 4 * np.clip(below / 60, 0, 1), LEG_AXIS + 0.3 * below)
    leg_axis = np.maximum(
        LEG_AXIS + 0.05 * below, apart
    )  # so that the in-shop picture shows two legs
    blend = np.clip((ys - 285) / (CROTCH_Y + 30 - 285), 0, 1)
    outer = hip * (1 - blend) + (leg_axis + half) * blend
    inner = np.where(
        ys < CROTCH_Y,
        -3.0,
        np.maximum(-3.0, leg_axis - half) * np.clip(below / 40, 0, 1)
        - 3 * (1 - np.clip(below / 40, 0, 1)),
    )
    return inner, outer


def _leg(garment: Garment, right: bool) -> Piece:
    side = -1 if right else 1
    ys = np.unique(
        np.concatenate(
            [
                np.linspace(WAIST_Y - 4, CROTCH_Y + 30, 9),
                np.linspace(CROTCH_Y + 30, garment.hem + 10, int(5 + (garment.hem - 350) / 30)),
            ]
        )
    )
    inner, outer = leg_edges(garment, ys)
    line = np.concatenate([[WAIST_Y], ys[(ys > WAIST_Y) & (ys < garment.hem)], [garment.hem]])
    a, b = leg_edges(garment, line)
    polygon = np.vstack([np.stack([a, line], 1), np.stack([b, line], 1)[::-1]]) * (side, 1)
    left, right_edge = (-outer, -inner) if right else (inner, outer)
    return Piece(f"leg {'right' if right else 'left'}", ys, left, right_edge, [polygon])


def sleeve_half(garment: Garment, share) -> np.ndarray:
    """Half-width of a sleeve at a share of the arm's length (0 shoulder, 1 wrist), in units."""
    top = 28 + 5 * min(garment.sleeve_ease, 2.0)
    wrist = (
        11 + 6.5 * garment.sleeve_ease
        if garment.sleeve_ease < 2
        else 18 * (garment.sleeve_ease - 0.75)
    )
    middle = 4 + 17 * min(garment.sleeve_ease, 1.9) + (4 if garment.sleeve_ease > 2 else 0)
    return np.interp(
        share,
        [-0.045, 0.0, 0.03, 0.08, 0.22, 0.52, 1.0, 1.1],
        [
            0.3 * top,
            0.72 * top,
            0.82 * top,
            0.92 * top,
            top * 0.95,
            max(middle, top * 0.68),
            wrist,
            wrist,
        ],
    )


def _sleeve(garment: Garment, right: bool) -> Piece:
    side = -1 if right else 1
    end = garment.sleeve * ARM_LENGTH
    ys = np.unique(
        np.concatenate([np.linspace(-16, 30, 7), np.linspace(30, end + 10, int(5 + end / 18))])
    )
    half = sleeve_half(garment, ys / ARM_LENGTH)
    line = np.concatenate([np.linspace(-12, 30, 8), np.linspace(36, end, 14)])
    edge = np.stack([sleeve_half(garment, line / ARM_LENGTH), line], 1)
    cuff = np.array(
        [
            (x, end + 4 * (1 - (x / edge[-1, 0]) ** 2))
            for x in np.linspace(edge[-1, 0], -edge[-1, 0], 9)
        ]
    )
    turn = (13 + 8 * min(1.0, garment.sleeve_ease - 1)) * -side
    outline = np.vstack([edge, cuff, edge[::-1] * (-1, 1)])
    return Piece(
        f"sleeve {'right' if right else 'left'}",
        ys,
        -half,
        half,
        [outline],
        turn,
        (side * 72.0, 10.0),
    )


def _panels(garment: Garment) -> list[Piece]:
    """The two fronts of a coat worn open; the in-shop picture shows them side by side."""
    whole = _trunk(garment)
    pieces = []
    for right in (True, False):
        side = -1 if right else 1
        low, high = (-200.0, 0.5) if right else (-0.5, 200.0)
        outline = [p[(p[:, 0] >= low) & (p[:, 0] <= high)] for p in whole.outline]
        zero = np.zeros_like(whole.ys)
        left, right_edge = (whole.left, zero) if side < 0 else (zero, whole.right)
        pieces.append(
            Piece(f"panel {'right' if right else 'left'}", whole.ys, left, right_edge, outline)
        )
    return pieces


def cut_pieces(garment: Garment) -> list[Piece]:
    """The garment's pieces in the order in which they are laid down, without textures yet."""
    pieces: list[Piece] = []
    if garment.cut.legs:
        pieces += [_leg(garment, True), _leg(garment, False)]
    if garment.cut.closing == "open":
        pieces += _panels(garment)
    elif garment.neck and garment.cut.legs:
        top = _trunk(_shortened(garment))
        pieces.append(top)
    elif garment.neck:
        pieces.append(_trunk(garment))
    elif not garment.cut.legs:
        pieces.append(_skirt(garment))
    if garment.sleeve:
        pieces += [_sleeve(garment, True), _sleeve(garment, False)]
    return pieces


def from_behind(garment: Garment) -> Garment:
    """The same garment as its back is cut: closed, and high at the neck."""
    neck = "back" if garment.neck in NECK_SHAPES and garment.neck != "turtle" else garment.neck
    return replace(garment, neck=neck, cut=replace(garment.cut, closing=""))


def _shortened(garment: Garment) -> Garment:
    """The upper half of a jumpsuit."""
    return replace(garment, hem=WAIST_Y + 8, flare=0.0)


def add_textures(garment: Garment, pieces: list[Piece], scale: float) -> None:
    """Gives each piece its cloth: one bolt for the whole garment, a place of its own for each
    piece."""
    rng = np.random.default_rng(garment.seed)
    spans = [np.concatenate(p.outline) for p in pieces]
    sizes = [np.ceil((s.max(0) - s.min(0) + 2 * MARGIN) * scale).astype(int) for s in spans]
    bolt = int(max(max(s) for s in sizes)) + int(40 * scale)
    cloth = make_cloth(rng, garment.pattern, garment.colours, bolt, scale)
    for piece, span, (width, height) in zip(pieces, spans, sizes):
        limb = piece.name.split()[0] in ("sleeve",)
        x, y = (int(rng.integers(0, bolt - n + 1)) for n in (width, height)) if limb else (0, 0)
        if piece.name in ("leg left", "panel left"):
            x = 0
        piece.scale, piece.origin = scale, tuple((MARGIN - span.min(0)) * scale)
        if piece.name.startswith(
            ("panel", "leg", "trunk", "skirt")
        ):  # patterns run on from piece to piece
            x = int(np.clip(bolt // 2 - piece.origin[0], 0, bolt - width))
            y = int(np.clip(60 * scale - piece.origin[1] if garment.neck else 0, 0, bolt - height))
        alpha = np.zeros((height, width), np.uint8)
        for polygon in piece.outline:
            cv2.fillPoly(
                alpha, [np.round(piece.pixels(polygon) * 16).astype(np.int32)], 255, cv2.LINE_AA, 4
            )
        piece.rgb, piece.alpha = cloth[y : y + height, x : x + width].copy(), alpha
