"""Backgrounds: paper, a studio's sweep, a room, a wall, a street; and the shadow that the person
casts on the floor."""

from __future__ import annotations

import cv2
import numpy as np

from pipeline.base.labels import Joint
from pipeline.sample.body import Body
from pipeline.sample.mesh import dim
from pipeline.sample.wearer import Wearer

_TONES = ((214, 208, 200), (196, 204, 208), (222, 204, 190), (200, 206, 192), (186, 190, 200))


def _gradient(size_hw, top, bottom) -> np.ndarray:
    share = np.linspace(0, 1, size_hw[0])[:, None, None]
    row = np.array(top, float) * (1 - share) + np.array(bottom, float) * share
    return np.ascontiguousarray(np.broadcast_to(row, (*size_hw, 3)).astype(np.uint8))


def _studio(rng, size_hw) -> np.ndarray:
    """A paper sweep: wall, soft bend, lighter floor, darker corners."""
    tone = np.array(_TONES[int(rng.integers(len(_TONES)))], np.float32) * 0.5 + 118
    y, x = np.mgrid[0:32, 0:24].astype(np.float32)
    y, x = y / 31, x / 23
    gain = 1.04 - 0.16 * ((x - 0.5) ** 2 + (y - 0.45) ** 2) + 0.05 / (1 + np.exp(-(y - 0.84) * 40))
    gain = cv2.resize(gain, size_hw[::-1], interpolation=cv2.INTER_CUBIC)
    flat = np.empty((*size_hw, 3), np.uint8)
    flat[:] = np.clip(tone, 0, 255)
    return dim(flat, gain)


def _fill(picture, points, tone, ratio) -> None:
    cv2.fillPoly(
        picture,
        [np.round(np.asarray(points, float) * ratio * 16).astype(np.int32)],
        [float(v) for v in tone],
        cv2.LINE_AA,
        4,
    )


def _box(x0, y0, x1, y1):
    return [(x0, y0), (x1, y0), (x1, y1), (x0, y1)]


def _room(rng, size_hw, ratio) -> np.ndarray:
    """A wall with a picture, a window or a plant, and a wooden floor."""
    wall = np.array(_TONES[int(rng.integers(len(_TONES)))], float)
    picture = _gradient(size_hw, wall * 1.04, wall * 0.96)
    floor = rng.uniform(830, 880)
    wood = np.array((168, 130, 96), float) * rng.uniform(0.8, 1.15)
    _fill(picture, _box(0, floor, 768, 1024), wood, ratio)
    for k in range(1, 6):
        y = floor + (1024 - floor) * (k / 6) ** 1.4
        _fill(picture, _box(0, y, 768, y + 1.5 + k * 0.3), wood * 0.86, ratio)
    _fill(picture, _box(0, floor - 22, 768, floor), wall * 1.08, ratio)
    _fill(picture, _box(0, floor - 2, 768, floor), wall * 0.75, ratio)
    left, right = rng.uniform(-20, 30), rng.uniform(600, 650)
    frame = rng.uniform(120, 200)
    _fill(picture, _box(right, frame, right + 120, frame + 170), (70, 58, 50), ratio)
    _fill(picture, _box(right + 8, frame + 8, right + 112, frame + 162), (236, 232, 224), ratio)
    _fill(
        picture,
        _box(right + 30, frame + 60, right + 90, frame + 120),
        rng.uniform(80, 200, 3),
        ratio,
    )
    if rng.random() < 0.5:
        _plant(picture, rng, left + 60, floor + 40, ratio)
    else:
        _stool(picture, left, floor, wood, ratio)
    return picture


def _plant(picture, rng, x, y, ratio) -> None:
    _fill(
        picture,
        [(x - 34, y - 80), (x + 34, y - 80), (x + 24, y), (x - 24, y)],
        (214, 206, 196),
        ratio,
    )
    for k in range(13):
        angle = np.radians(-150 + 10 * k + rng.uniform(-8, 8))
        length = rng.uniform(110, 230)
        tip = np.array([x + np.cos(angle) * length * 0.62, y - 80 + np.sin(angle) * length])
        side = np.array([-np.sin(angle), np.cos(angle)]) * 15
        middle = (np.array([x, y - 80]) + tip) / 2
        green = np.array((64, 104, 66)) * rng.uniform(0.75, 1.2)
        _fill(picture, [(x, y - 80), middle + side, tip, middle - side], green, ratio)


def _stool(picture, left, floor, wood, ratio) -> None:
    for x in (left + 22, left + 92):
        stick = [(x, floor - 170), (x + 9, floor - 170), (x + 14, floor + 34), (x + 6, floor + 34)]
        _fill(picture, stick, wood * 0.6, ratio)
    _fill(picture, _box(left, floor - 186, left + 128, floor - 166), wood * 0.75, ratio)
    _fill(picture, _box(left + 34, floor - 250, left + 84, floor - 186), (196, 120, 92), ratio)


def _wall(rng, size_hw, ratio) -> np.ndarray:
    """Bricks or tiles above a stone floor."""
    tone = np.array(((176, 116, 92), (226, 222, 214), (150, 152, 156))[int(rng.integers(3))], float)
    picture = _gradient(size_hw, tone * 0.8, tone * 0.76)
    for row, y in enumerate(np.arange(0, 870, 36)):
        for x in np.arange(-80 + 40 * (row % 2), 768, 80):
            _fill(
                picture, _box(x + 2, y + 2, x + 78, y + 34), tone * rng.uniform(0.93, 1.05), ratio
            )
    _fill(picture, _box(0, 866, 768, 1024), (168, 164, 158), ratio)
    _fill(picture, _box(0, 860, 768, 868), (112, 108, 104), ratio)
    return cv2.GaussianBlur(picture, (0, 0), max(0.6, 2.0 * ratio))


def _street(rng, size_hw, ratio) -> np.ndarray:
    """Houses out of focus."""
    picture = _gradient(size_hw, (206, 218, 230), (226, 226, 222))
    x = -40.0
    while x < 768:
        width, top = rng.uniform(110, 220), rng.uniform(-60, 260)
        tone = np.array(_TONES[int(rng.integers(len(_TONES)))], float) * rng.uniform(0.75, 1)
        _fill(picture, _box(x, top, x + width, 800), tone, ratio)
        for wy in np.arange(top + 40, 700, 110):
            for wx in np.arange(x + 22, x + width - 40, 60):
                _fill(picture, _box(wx, wy, wx + 32, wy + 58), tone * 0.62, ratio)
        x += width
    _fill(picture, _box(0, 790, 768, 1024), (156, 154, 152), ratio)
    _fill(picture, _box(0, 790, 768, 812), (190, 188, 184), ratio)
    small = cv2.resize(picture, None, fx=0.25, fy=0.25, interpolation=cv2.INTER_AREA)
    small = cv2.GaussianBlur(small, (0, 0), max(0.6, 2.2 * ratio))
    return cv2.resize(small, size_hw[::-1], interpolation=cv2.INTER_CUBIC)


def render_backdrop(person: Wearer, size_hw: tuple[int, int], body: Body) -> np.ndarray:
    """(H, W, 3) uint8 RGB background with the shadow at the person's feet."""
    rng, ratio = np.random.default_rng([*person.seed, 9]), size_hw[0] / 1024
    kinds = {
        "studio": lambda: _studio(rng, size_hw),
        "room": lambda: _room(rng, size_hw, ratio),
        "wall": lambda: _wall(rng, size_hw, ratio),
        "street": lambda: _street(rng, size_hw, ratio),
        "white": lambda: _gradient(size_hw, (253, 253, 253), (247, 247, 247)),
        "grey": lambda: _gradient(size_hw, (232, 232, 236), (222, 222, 226)),
    }
    picture = kinds[person.background]()
    _floor_shadow(picture, body, ratio)
    return picture


def _floor_shadow(picture: np.ndarray, body: Body, ratio: float) -> None:
    height, width = picture.shape[:2]
    small = np.zeros((height // 8 + 1, width // 8 + 1), np.float32)
    for ankle in body.joints[[Joint.R_ANKLE, Joint.L_ANKLE]] * ratio / 8:
        at = int(ankle[0] + 1), int(ankle[1] + 68 * ratio / 8)
        cv2.ellipse(
            small,
            at,
            (max(1, int(54 * ratio / 8)), max(1, int(13 * ratio / 8))),
            0,
            0,
            360,
            1.0,
            -1,
        )
    rows = slice(int(0.72 * height) // 8 * 8, height)
    soft = cv2.resize(cv2.GaussianBlur(small, (0, 0), max(0.5, 2.2 * ratio)), (width, height))[rows]
    gain = 1 - 0.34 * np.clip(soft, 0, 1)
    picture[rows] = dim(picture[rows], gain)
