"""Cloth: colours, woven and printed patterns, lettering, and the light and shade of folds."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import cv2
import numpy as np
from PIL import Image, ImageDraw, ImageFont

COLOURS: dict[str, tuple[int, int, int]] = {
    "ink": (30, 32, 40),
    "navy": (34, 48, 84),
    "cream": (238, 230, 212),
    "white": (244, 244, 242),
    "camel": (190, 148, 100),
    "olive": (104, 108, 72),
    "burgundy": (112, 34, 52),
    "rust": (178, 84, 48),
    "mustard": (214, 168, 62),
    "sage": (156, 174, 146),
    "sky": (150, 186, 216),
    "blush": (230, 188, 180),
    "grey": (140, 142, 148),
    "charcoal": (66, 68, 76),
    "lilac": (184, 166, 212),
    "emerald": (30, 110, 84),
    "cobalt": (44, 82, 176),
    "red": (192, 46, 52),
    "coral": (236, 122, 100),
    "teal": (38, 116, 128),
    "chocolate": (84, 58, 46),
    "rose": (206, 104, 130),
    "lemon": (240, 220, 130),
    "denim": (72, 98, 142),
}

WORDS = (
    "HELLO",
    "NORD",
    "ATLAS",
    "MAR",
    "1987",
    "ECHO",
    "LUNE",
    "RIVER",
    "SOL",
    "NOVA",
    "OUI",
    "CLUB",
    "WILD",
    "TEAM",
)


def colour(name: str) -> np.ndarray:
    """(3,) float32 RGB of a named colour."""
    return np.array(COLOURS[name], np.float32)


def _canvas(size: int, base: np.ndarray) -> np.ndarray:
    return np.tile(base.astype(np.uint8), (size, size, 1))


def _ramp(size: int, period: float) -> np.ndarray:
    return (np.arange(size) / period) % 1


def _solid(rng, size, scale, base, second, third):
    return _canvas(size, base)


def _stripes(rng, size, scale, base, second, third, vertical=False):
    period, share = scale * rng.uniform(26, 64), rng.uniform(0.25, 0.55)
    out = _canvas(size, base)
    lines = _ramp(size, period) < share
    fine = np.abs(_ramp(size, period) - (share + 1) / 2) < 0.05
    view = out.transpose(1, 0, 2) if vertical else out
    view[lines] = second
    if rng.random() < 0.35:
        view[fine] = third
    return out


def _upright(rng, size, scale, base, second, third):
    return _stripes(rng, size, scale * 0.7, base, second, third, vertical=True)


def _checks(rng, size, scale, base, second, third):
    period = scale * rng.uniform(36, 80)
    band = (_ramp(size, period) < 0.5).astype(np.uint8)
    weights = np.array((0, 0.5, 1))[:, None]
    out = (base * (1 - weights) + second * weights).astype(np.uint8)[band[:, None] + band[None]]
    if rng.random() < 0.5:
        line = np.abs(_ramp(size, period) - 0.75) < 0.05
        out[line] = out[line] * 0.4 + third * 0.6
        out[:, line] = out[:, line] * 0.4 + third * 0.6
    return out


def _windows(rng, size, scale, base, second, third):
    out = _canvas(size, base)
    line = _ramp(size, scale * rng.uniform(50, 84)) < 0.06
    out[line] = second
    out[:, line] = second
    return out


def _lattice(rng, size, step, jitter):
    """Staggered places with a little disorder, as prints have."""
    places = [
        (x + (row % 2) * step / 2, row * step * 0.86)
        for row in range(int(size / step / 0.86) + 2)
        for x in np.arange(0, size + step, step)
    ]
    return np.array(places) + rng.normal(0, jitter * step, (len(places), 2))


def _dots(rng, size, scale, base, second, third):
    out = _canvas(size, base)
    step = scale * rng.uniform(26, 60)
    radius = step * rng.uniform(0.16, 0.3)
    for x, y in _lattice(rng, size, step, 0.0):
        cv2.circle(
            out, (int(x * 8), int(y * 8)), int(radius * 8), second.tolist(), -1, cv2.LINE_AA, 3
        )
    return out


def _flowers(rng, size, scale, base, second, third):
    out = _canvas(size, base)
    step = scale * rng.uniform(52, 84)
    for x, y in _lattice(rng, size, step, 0.13):
        turn, radius = rng.uniform(0, 6.3), step * rng.uniform(0.11, 0.18)
        leaf = (int(x + np.cos(turn) * radius * 2.2), int(y + np.sin(turn) * radius * 2.2))
        cv2.ellipse(
            out,
            leaf,
            (int(radius * 1.1), int(radius * 0.45)),
            np.degrees(turn),
            0,
            360,
            (COLOURS["sage"] if rng.random() < 0.5 else COLOURS["olive"]),
            -1,
            cv2.LINE_AA,
        )
        tone = (second if rng.random() < 0.65 else third).tolist()
        for k in range(5):
            angle = turn + k * 1.2566
            petal = int(x + np.cos(angle) * radius), int(y + np.sin(angle) * radius)
            cv2.circle(out, petal, max(1, int(radius * 0.72)), tone, -1, cv2.LINE_AA)
        cv2.circle(
            out, (int(x), int(y)), max(1, int(radius * 0.5)), COLOURS["mustard"], -1, cv2.LINE_AA
        )
    return out


def _noise(rng, size: int, cells: int) -> np.ndarray:
    """(size, size) float32 smooth noise."""
    return cv2.resize(
        rng.normal(0, 1, (cells, cells)).astype(np.float32),
        (size, size),
        interpolation=cv2.INTER_CUBIC,
    )


def _doubled(picture: np.ndarray, size: int) -> np.ndarray:
    """Patterns of large soft shapes are made at half size: a quarter of the work, and softer
    edges."""
    return cv2.resize(picture, (size, size), interpolation=cv2.INTER_LINEAR)


def _waves(rng, size, scale, base, second, third):
    half, unit = size // 2 + 1, scale / 2
    x = np.arange(half, dtype=np.float32)
    bend = np.sin(x / (unit * 24))[None] * unit * 7 + _noise(rng, half, 9) * unit * 9
    band = ((x[:, None] + bend) / (unit * rng.uniform(30, 46))) % 1
    out = _canvas(half, base)
    out[band < 0.4] = second
    out[(band > 0.58) & (band < 0.72)] = third
    return _doubled(out, size)


def _blobs(rng, size, scale, base, second, third):
    half, cells = size // 2 + 1, max(6, int(size / (scale * 34)))
    out = _canvas(half, base)
    out[_noise(rng, half, cells) > 0.35] = second
    out[_noise(rng, half, cells) > 0.6] = third
    return _doubled(out, size)


def _diamonds(rng, size, scale, base, second, third):
    step = scale * rng.uniform(44, 70)
    a, b = np.arange(size) / step, np.arange(size) / (step * 1.5)
    x, y = np.abs(a % 1 - 0.5), np.abs(b % 1 - 0.5)
    out = _canvas(size, base)
    out[(y[:, None] + x[None]) < 0.36] = second
    out[np.abs(y[:, None] + x[None] - 0.44) < 0.02] = third
    return out


PATTERNS: dict[str, Callable[..., Any]] = {
    "plain": _solid,
    "stripes": _stripes,
    "upright stripes": _upright,
    "checks": _checks,
    "windowpane": _windows,
    "dots": _dots,
    "flowers": _flowers,
    "waves": _waves,
    "blobs": _blobs,
    "diamonds": _diamonds,
    "lettering": _solid,
    "denim": _solid,
    "knit": _solid,
    "leather": _solid,
}
"""Name -> function(rng, size, scale, base, second, third); ``scale`` is texture pixels per unit of
the body frame."""

_WEAVE_GRAIN = {"denim": 9.0, "knit": 5.0, "leather": 3.0}


@functools.lru_cache(maxsize=1)
def _grain() -> np.ndarray:
    """(1024, 1024) float32 fine noise, made once: the tooth of cloth."""
    noise = np.random.default_rng(7).normal(0, 1, (1024, 1024)).astype(np.float32)
    return noise + cv2.blur(noise, (1, 5)) * 1.5


def make_cloth(
    rng: np.random.Generator,
    pattern: str,
    names: tuple[str, str, str],
    size: int,
    scale: float,
) -> np.ndarray:
    """(size, size, 3) uint8 RGB of woven or printed cloth, unshaded.

    Args:
        rng: decides the spacing and disorder of the pattern.
        pattern: a key of ``PATTERNS``.
        names: three colours: ground, figure, accent.
        size: side in pixels.
        scale: texture pixels per unit of the body frame (1024 units high).
    """
    base, second, third = (colour(name) for name in names)
    cloth = PATTERNS[pattern](rng, size, scale, base, second, third)
    rest = max(0, size - 1024)
    grain = _grain()[:size, :size]
    if rest:
        grain = cv2.copyMakeBorder(grain, 0, rest, 0, rest, cv2.BORDER_WRAP)
    grain = grain * (_WEAVE_GRAIN.get(pattern, 2.2) * min(1.0, scale))
    if pattern == "knit":
        grain = (
            grain
            + (
                12 * np.sin(np.arange(size, dtype=np.float32) * (2 * np.pi / max(4.0, 7.5 * scale)))
            )[None]
        )
    steps = cv2.cvtColor(np.clip(grain + 128, 0, 255).astype(np.uint8), cv2.COLOR_GRAY2RGB)
    return cv2.addWeighted(cloth, 1, steps, 1, -128)


def write_word(
    texture: np.ndarray, word: str, centre: tuple[float, float], width: float, ink: np.ndarray
) -> None:
    """Prints a word on a texture (h, w, 3 or 4), ``width`` pixels wide, centred."""
    probe = ImageFont.load_default(40)
    left, _, right, _ = probe.getbbox(word)
    font = ImageFont.load_default(max(6, 40 * width / max(1, right - left)))
    x0, y0 = (max(0, int(c - width * f)) for c, f in zip(centre, (0.6, 0.4)))
    view = texture[y0 : y0 + int(width * 0.8), x0 : x0 + int(width * 1.2)]
    layer = Image.new("L", view.shape[1::-1])
    ImageDraw.Draw(layer).text(
        (centre[0] - x0, centre[1] - y0),
        word,
        255,
        font,
        anchor="mm",
        stroke_width=max(1, round(width / 70)),
    )
    alpha = np.asarray(layer, np.float32)[..., None] / 255
    view[:] = (view * (1 - alpha) + ink * alpha).astype(np.uint8)


@functools.lru_cache(maxsize=1)
def _fold_bank() -> dict[str, np.ndarray]:
    """Light and shade of folds, (768, 768) float32 with mean 0 and spread 1: hanging, creased, and
    soft cloth."""
    rng = np.random.default_rng(11)
    noise = rng.normal(0, 1, (1100, 1100)).astype(np.float32)
    bank = {}
    for name, (sx, sy, angle) in {
        "hanging": (9, 120, 4),
        "creased": (34, 10, 20),
        "creased back": (34, 10, -20),
        "soft": (26, 46, 14),
    }.items():
        height = cv2.GaussianBlur(noise, (0, 0), sx, sigmaY=sy, borderType=cv2.BORDER_REFLECT)
        turned = cv2.warpAffine(height, cv2.getRotationMatrix2D((550, 550), angle, 1), (1100, 1100))
        turned = turned[166:934, 166:934]  # without the corners that turning leaves empty
        light = (
            cv2.Sobel(turned, cv2.CV_32F, 1, 0) * 0.8 + cv2.Sobel(turned, cv2.CV_32F, 0, 1) * 0.5
        )
        bank[name] = (light - light.mean()) / light.std()
    return bank


def folds(rng: np.random.Generator, kind: str, rows: int, columns: int, scale: float) -> np.ndarray:
    """(rows, columns) float32 fold shading about 0 with spread 1, a random piece of the bank.

    Args:
        kind: "hanging", "creased", "creased back" or "soft".
        rows, columns: size of the piece in units of its texture.
        scale: texture pixels per unit of the body frame.
    """
    bank = _fold_bank()[kind]
    h, w = (int(min(700, max(8, n / scale))) for n in (rows, columns))
    top, left = rng.integers(0, 768 - h), rng.integers(0, 768 - w)
    return cv2.resize(
        bank[top : top + h, left : left + w], (columns, rows), interpolation=cv2.INTER_LINEAR
    )
