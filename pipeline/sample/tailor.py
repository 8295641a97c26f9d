"""Seams, collars, buttons, pockets and prints on the pieces, and their light and shade."""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np

from pipeline.sample.cloth import colour, folds, write_word
from pipeline.sample.cut import (
    CROTCH_Y,
    NECK_SHAPES,
    WAIST_Y,
    Piece,
    shoulder_line,
    smooth_line,
    trunk_width,
)
from pipeline.sample.mesh import dim
from pipeline.sample.wardrobe import Garment


def _ink(garment: Garment, amount: float) -> tuple[int, int, int]:
    """The ground colour darkened (or, on black, lightened) as a seam is."""
    base = colour(garment.colours[0])
    tone = base * (1 - amount) if base.mean() > 60 else base + 255 * amount * 0.35
    red, green, blue = (int(v) for v in np.clip(tone, 0, 255))
    return red, green, blue


def _fixed(piece: Piece, points) -> np.ndarray:
    """Points in units -> texture pixels with four bits of fraction, as OpenCV's drawing takes
    them."""
    return np.round(piece.pixels(points) * 16).astype(np.int32)


def _stroke(piece: Piece, points, ink, width: float = 1.0, closed: bool = False) -> None:
    cv2.polylines(
        piece.rgb,
        [_fixed(piece, points)],
        closed,
        ink,
        max(1, round(width * piece.scale)),
        cv2.LINE_AA,
        4,
    )


def _fill(piece: Piece, points, ink) -> None:
    cv2.fillPoly(piece.rgb, [_fixed(piece, points)], ink, cv2.LINE_AA, 4)


def _tone(piece: Piece, points, factor: float) -> None:
    """Darkens or lightens the cloth inside a shape, its pattern kept."""
    shape = _fixed(piece, points)
    x, y, w, h = cv2.boundingRect(shape // 16)
    height, width = piece.alpha.shape
    x0, y0, x1, y1 = max(0, x - 1), max(0, y - 1), min(width, x + w + 2), min(height, y + h + 2)
    if x1 <= x0 or y1 <= y0:
        return
    mask = np.zeros((y1 - y0, x1 - x0), np.uint8)
    cv2.fillPoly(mask, [shape - (x0 * 16, y0 * 16)], 255, cv2.LINE_AA, 4)
    gain = 1 + (factor - 1) * mask.astype(np.float32) * (1 / 255)
    view = piece.rgb[y0:y1, x0:x1]
    view[:] = dim(view, gain)


def _buttons(piece: Piece, garment: Garment, x: float, ys, radius: float = 2.6) -> None:
    tone = _ink(garment, 0.55)
    light = colour("cream").tolist()
    for y in ys:
        angle = np.linspace(0, 2 * np.pi, 14)
        _fill(piece, np.stack([x + radius * np.cos(angle), y + radius * np.sin(angle)], 1), light)
        _stroke(
            piece,
            np.stack([x + radius * np.cos(angle), y + radius * np.sin(angle)], 1),
            tone,
            0.7,
            True,
        )


def _front(piece: Piece, garment: Garment) -> None:
    """The closing in the middle of a shirt, jacket or shirt dress."""
    top = NECK_SHAPES[garment.neck][1]
    ink = _ink(garment, 0.3)
    bottom = piece.ys[-1]
    edges = (-7, 7) if garment.neck == "collar" else (-3,)
    for x in edges:
        _stroke(piece, [(x, top), (x, bottom)], ink, 0.9)
    step = 42 if garment.neck == "collar" else 56
    _buttons(
        piece,
        garment,
        0 if garment.neck == "collar" else 4,
        np.arange(top + 14, garment.hem - 12, step),
        2.6 if garment.neck == "collar" else 3.6,
    )


def _collar(piece: Piece, garment: Garment) -> None:
    half, depth, _ = NECK_SHAPES["collar"]
    top = float(shoulder_line(half))
    for side in (-1, 1):
        shape = [
            (side * (half - 10), top - 14),
            (side * (half + 6), top - 2),
            (side * 42, depth + 6),
            (0, depth - 4),
        ]
        if piece.name.endswith("right") and side > 0 or piece.name.endswith("left") and side < 0:
            continue
        _fill_cloth(piece, shape, 1.07)
        _stroke(piece, shape, _ink(garment, 0.35), 1.0, True)


def _lapel(piece: Piece, garment: Garment) -> None:
    half, depth, _ = NECK_SHAPES["lapel"]
    top = float(shoulder_line(half))
    for side in (-1, 1):
        if piece.name.endswith("right") and side > 0 or piece.name.endswith("left") and side < 0:
            continue
        shape = [
            (side * (half - 8), top - 13),
            (side * (half + 12), top + 8),
            (side * 56, 34),
            (side * 46, 40),
            (side * 60, 50),
            (0, depth + 6),
            (side * 12, depth - 26),
        ]
        _fill_cloth(piece, shape, 1.08)
        _stroke(piece, shape, _ink(garment, 0.4), 1.1, True)


def _fill_cloth(piece: Piece, shape, factor: float) -> None:
    """Adds cloth with the pattern that lies there, a little lighter: a collar above the
    neckline."""
    cv2.fillPoly(piece.alpha, [_fixed(piece, shape)], 255, cv2.LINE_AA, 4)
    _tone(piece, shape, factor)


def _neck_band(piece: Piece, garment: Garment) -> None:
    half, depth, power = NECK_SHAPES[garment.neck]
    x = np.linspace(-half, half, 25)
    top = float(shoulder_line(half))
    curve = np.stack([x * 1.04, top + 3 + (depth + 3 - top) * (1 - np.abs(x / half) ** power)], 1)
    _stroke(piece, curve, _ink(garment, 0.22), 1.1)
    if garment.kind in ("t-shirt", "jumper"):
        _stroke(piece, curve + (0, 5), _ink(garment, 0.22), 0.9)


def _turtle(piece: Piece, garment: Garment) -> None:
    shape = smooth_line(
        [(-36, -18), (-34, -34), (-31, -46), (0, -42), (31, -46), (34, -34), (36, -18), (0, -4)], 5
    )
    _fill_cloth(piece, shape, 0.96)
    _stroke(piece, smooth_line([(-37, -19), (0, -5), (37, -19)]), _ink(garment, 0.35), 1.2)


def _pocket(piece: Piece, garment: Garment) -> None:
    if not piece.name.endswith("right"):
        shape = [(26, 92), (58, 92), (58, 126), (42, 133), (26, 126)]
        _stroke(piece, shape, _ink(garment, 0.3), 1.0, True)
        _stroke(piece, [(26, 98), (58, 98)], _ink(garment, 0.3), 0.8)


def _pockets(piece: Piece, garment: Garment) -> None:
    if piece.name.startswith("leg"):
        side = -1 if piece.name.endswith("right") else 1
        hip = float(trunk_width(garment, WAIST_Y + 20))
        _stroke(
            piece,
            smooth_line(
                [
                    (side * hip * 0.55, WAIST_Y + 12),
                    (side * hip * 0.75, WAIST_Y + 40),
                    (side * (hip + 8), WAIST_Y + 60),
                ]
            ),
            _ink(garment, 0.35),
            1.1,
        )
        return
    for side in (-1, 1):
        if piece.name == "trunk" or (side < 0) == piece.name.endswith("right"):
            x0, x1 = side * 30, side * 70
            shape = [(x0, 214), (x1, 214), (x1, 228), (x0, 228)]
            _tone(piece, shape, 0.95)
            _stroke(piece, shape, _ink(garment, 0.35), 1.0, True)


def _cuffs(piece: Piece, garment: Garment) -> None:
    if piece.name.startswith("sleeve"):
        end = piece.ys[-1] - 10
        _stroke(piece, [(-60, end - 17), (60, end - 17)], _ink(garment, 0.35), 1.0)


def _ribs(piece: Piece, garment: Garment) -> None:
    """Ribbed hems and cuffs of knitwear."""
    end = piece.ys[-1] - (10 if piece.name.startswith("sleeve") else 12)
    width = max(abs(piece.left).max(), abs(piece.right).max())
    _tone(
        piece, [(-width, end - 16), (width, end - 16), (width, end + 16), (-width, end + 16)], 0.93
    )
    ink = _ink(garment, 0.18)
    for x in np.arange(-width, width, 4.5):
        _stroke(piece, [(x, end - 15), (x, end + 12)], ink, 0.7)


def _fly(piece: Piece, garment: Garment) -> None:
    if piece.name.endswith("left"):
        _stroke(
            piece,
            smooth_line(
                [(14, WAIST_Y + 14), (14, WAIST_Y + 70), (6, WAIST_Y + 92), (0, WAIST_Y + 98)]
            ),
            _ink(garment, 0.3),
            1.0,
        )
        _buttons(piece, garment, 4, [WAIST_Y + 8], 3.0)


def _crease(piece: Piece, garment: Garment) -> None:
    if piece.name.startswith("leg"):
        middle = (piece.left + piece.right) / 2
        keep = piece.ys > WAIST_Y + 30
        _stroke(piece, np.stack([middle, piece.ys], 1)[keep], _ink(garment, 0.22), 1.3)


def _waist(piece: Piece, garment: Garment) -> None:
    if piece.name == "trunk":
        _stroke(
            piece,
            [(-120, WAIST_Y - 2), (0, WAIST_Y + 1), (120, WAIST_Y - 2)],
            _ink(garment, 0.35),
            1.4,
        )


def _waistband(piece: Piece, garment: Garment) -> None:
    width = 130
    _tone(piece, [(-width, 170), (width, 170), (width, WAIST_Y + 16), (-width, WAIST_Y + 16)], 1.04)
    _stroke(piece, [(-width, WAIST_Y + 16), (width, WAIST_Y + 16)], _ink(garment, 0.35), 1.1)


DETAILS: dict[str, Callable[[Piece, Garment], None]] = {
    "pocket": _pocket,
    "pockets": _pockets,
    "cuffs": _cuffs,
    "ribs": _ribs,
    "fly": _fly,
    "crease": _crease,
    "waist": _waist,
}


def sew(garment: Garment, pieces: list[Piece], behind: bool = False) -> None:
    """Draws a garment's details on its textures; ``behind`` leaves away what only the front has."""
    for piece in pieces:
        for detail in garment.cut.details:
            if not (behind and detail in ("fly", "pocket")):
                DETAILS[detail](piece, garment)
        upper = piece.name.startswith(("trunk", "panel"))
        if not garment.neck and piece.name.startswith(("leg", "skirt")):
            _waistband(piece, garment)
        if upper and (not behind or garment.neck == "turtle"):
            _front_details(piece, garment)
        _hem(piece, garment)
        if garment.pattern == "lettering" and piece.name == "trunk" and not behind:
            ink = colour(garment.colours[1])
            write_word(
                piece.rgb,
                garment.word,
                tuple(piece.pixels(np.array([(0, 100)]))[0]),
                96 * piece.scale,
                ink,
            )


def _front_details(piece: Piece, garment: Garment) -> None:
    if garment.cut.closing == "buttons":
        _front(piece, garment)
    if garment.neck == "collar":
        _collar(piece, garment)
    elif garment.neck == "lapel":
        _lapel(piece, garment)
    elif garment.neck == "turtle":
        _turtle(piece, garment)
    elif garment.neck in NECK_SHAPES and piece.name == "trunk":
        _neck_band(piece, garment)


def _hem(piece: Piece, garment: Garment) -> None:
    if piece.name == "trunk" and garment.cut.legs:
        return
    y = garment.hem - 7 if not piece.name.startswith("sleeve") else piece.ys[-1] - 16
    t = np.linspace(-1, 1, 15)
    width = float(trunk_width(garment, y)) if piece.name in ("trunk", "skirt") else 130
    sag = (4 + 0.05 * max(0.0, garment.flare)) if piece.name in ("trunk", "skirt") else 0
    _stroke(piece, np.stack([t * width, y + sag * (1 - t**2)], 1), _ink(garment, 0.2), 0.9)


# fold kind and strength by piece: (kind, strength worn, strength in the shop)
_FOLDS = {
    "trunk": ("soft", 0.07, 0.02),
    "skirt": ("hanging", 0.11, 0.045),
    "panel": ("hanging", 0.06, 0.02),
    "sleeve": ("creased", 0.075, 0.03),
    "leg": ("creased", 0.05, 0.02),
}
_STIFF = {"leather": 1.5, "denim": 1.0, "knit": 0.6}


def shaded(
    garment: Garment, piece: Piece, worn: bool, light: np.ndarray | None = None
) -> np.ndarray:
    """(h, w, 4) uint8 RGBA: the texture with its folds and roundness.

    Args:
        light: (R,) how much each row's right side looks towards the light, -1..1; None for a
            garment lying flat.
    """
    height, width = piece.alpha.shape
    rng = np.random.default_rng([garment.seed, sum(map(ord, piece.name)), worn])
    first = piece.name.split()[0]
    kind, strong, weak = _FOLDS[first]
    if garment.flare > 25 and first == "trunk":
        kind = "hanging"
    if piece.name.endswith("left") and kind == "creased":
        kind = "creased back"
    strength = (strong if worn else weak) * _STIFF.get(garment.pattern, 0.9)
    small = max(4, height // 2), max(4, width // 2)
    ys = (np.arange(small[0]) * 2 - piece.origin[1]) / piece.scale
    xs = (np.arange(small[1]) * 2 - piece.origin[0]) / piece.scale
    left, right = np.interp(ys, piece.ys, piece.left), np.interp(ys, piece.ys, piece.right)
    t = np.clip(
        (xs[None] * 2 - (left + right)[:, None]) / np.maximum(right - left, 1)[:, None], -1.1, 1.1
    )
    gain = folds(rng, kind, *small, piece.scale / 2 * (1.5 if kind == "hanging" else 1)) * strength
    gain *= _fold_growth(garment, first, ys)[:, None]
    round_shade = 1 - (0.26 if worn else 0.10) * np.abs(t) ** (2.6 if worn else 4)
    if first == "panel":
        round_shade = 1 - 0.12 * np.abs(t) ** 3
    if light is not None:
        round_shade = round_shade + 0.075 * np.interp(ys, piece.ys, light)[:, None] * t
    gain = (round_shade * (1 + np.clip(gain, -0.2, 0.2))).astype(np.float32)
    gain = cv2.resize(gain, (width, height), interpolation=cv2.INTER_LINEAR)
    rgba = cv2.cvtColor(dim(piece.rgb, gain), cv2.COLOR_RGB2RGBA)
    cv2.insertChannel(piece.alpha, rgba, 3)
    return rgba


def _fold_growth(garment: Garment, first: str, ys: np.ndarray) -> np.ndarray:
    """Folds deepen away from where the cloth is held."""
    if first in ("skirt", "panel") or (first == "trunk" and garment.flare > 25):
        return np.interp(ys, [40, WAIST_Y, WAIST_Y + 40, garment.hem], [0.5, 0.55, 0.7, 1.5])
    if first == "leg":
        return np.interp(
            ys,
            [WAIST_Y, 270, CROTCH_Y, 420, 500, 560, 640, 760],
            [0.3, 1.2, 1.6, 0.7, 1.2, 1.0, 0.7, 1.6],
        )
    if first == "sleeve":
        return np.interp(ys, [0, 60, 140, 200, 300], [0.8, 0.7, 1.5, 0.9, 1.2])
    return np.interp(ys, [0, 60, 130, 200, 300], [0.4, 1.0, 0.8, 1.4, 1.0])
