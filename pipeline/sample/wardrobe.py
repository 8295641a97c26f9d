"""Kinds of garments, how long and wide they are, and one garment drawn from them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from pipeline.base.labels import Atr, Category
from pipeline.sample.cloth import COLOURS, WORDS


@dataclass(frozen=True)
class Cut:
    """One row of the wardrobe: how a kind of garment is cut. Ranges are (from, to); lengths in
    units of the body frame.

    ``hem`` counts from the neck joint downwards (hip joint 270, knee 512, ankle 750); sleeves as
    shares of the arm. ``flare`` is how much wider the hem is on each side; most garments of a cut
    lie near the first number.
    """

    label: Atr
    hem: tuple[float, float]
    ease: tuple[float, float]
    necks: tuple[str, ...] = ()
    sleeves: tuple[tuple[float, float], ...] = ((0.0, 0.0),)
    sleeve_ease: tuple[float, float] = (1.15, 1.4)
    flare: tuple[float, float] = (0, 0)
    closing: str = ""
    details: tuple[str, ...] = ()
    patterns: tuple[str, ...] = ("plain",)
    legs: bool = False
    weight: float = 1.0


_PRINTS = (
    "plain",
    "plain",
    "plain",
    "stripes",
    "dots",
    "flowers",
    "waves",
    "checks",
    "blobs",
    "diamonds",
)
_CAP, _SHORT, _HALF, _LONG, _NONE = (0.1, 0.25), (0.28, 0.5), (0.55, 0.8), (0.92, 1.0), (0.0, 0.0)

WARDROBE: dict[str, dict[str, Cut]] = {
    "upper": {
        "t-shirt": Cut(
            Atr.UPPER_CLOTHES,
            (185, 300),
            (14, 34),
            ("crew", "crew", "v"),
            (_SHORT, _SHORT, _CAP),
            (1.4, 1.9),
            patterns=("lettering", "lettering", *_PRINTS),
            weight=2.2,
        ),
        "jumper": Cut(
            Atr.UPPER_CLOTHES,
            (180, 305),
            (16, 36),
            ("crew", "turtle", "v"),
            (_LONG, _LONG, _HALF),
            (1.45, 1.95),
            details=("ribs",),
            patterns=("knit", "knit", "stripes", "diamonds", "plain", "lettering"),
            weight=1.9,
        ),
        "shirt": Cut(
            Atr.UPPER_CLOTHES,
            (190, 325),
            (14, 34),
            ("collar",),
            (_LONG, _HALF, _SHORT),
            (1.4, 1.8),
            closing="buttons",
            details=("pocket", "cuffs"),
            patterns=("plain", "upright stripes", "checks", "denim", "dots", "windowpane"),
            weight=1.9,
        ),
        "camisole": Cut(
            Atr.UPPER_CLOTHES,
            (205, 290),
            (0, 14),
            ("straps", "straps", "strapless"),
            patterns=_PRINTS,
            weight=0.2,
        ),
        "sleeveless top": Cut(
            Atr.UPPER_CLOTHES,
            (200, 300),
            (6, 22),
            ("scoop", "boat", "v"),
            patterns=_PRINTS,
            weight=0.1,
        ),
        "wide blouse": Cut(
            Atr.UPPER_CLOTHES,
            (180, 310),
            (16, 34),
            ("v", "boat", "scoop"),
            (_LONG, _HALF),
            (2.1, 2.9),
            (4, 18),
            patterns=_PRINTS,
            weight=1.2,
        ),
        "jacket": Cut(
            Atr.UPPER_CLOTHES,
            (215, 330),
            (14, 30),
            ("lapel",),
            (_LONG,),
            (1.45, 1.75),
            closing="buttons",
            details=("pockets", "cuffs"),
            patterns=("plain", "checks", "windowpane", "denim", "leather"),
            weight=1.2,
        ),
        "open coat": Cut(
            Atr.UPPER_CLOTHES,
            (320, 600),
            (16, 28),
            ("lapel",),
            (_LONG,),
            (1.6, 2.0),
            (8, 30),
            closing="open",
            details=("pockets",),
            patterns=("plain", "plain", "checks", "windowpane"),
            weight=0.9,
        ),
        "open cardigan": Cut(
            Atr.UPPER_CLOTHES,
            (240, 420),
            (10, 24),
            ("v",),
            (_LONG,),
            (1.4, 2.0),
            closing="open",
            details=("ribs",),
            patterns=("knit", "plain", "stripes"),
            weight=0.9,
        ),
    },
    "lower": {
        "trousers": Cut(
            Atr.PANTS,
            (640, 765),
            (1, 9),
            flare=(-6, 4),
            details=("fly", "pockets"),
            legs=True,
            patterns=("plain", "plain", "denim", "denim", "checks", "upright stripes"),
            weight=2.0,
        ),
        "skinny trousers": Cut(
            Atr.PANTS,
            (620, 745),
            (0, 3),
            flare=(-2, 0),
            details=("fly", "pockets"),
            legs=True,
            patterns=("denim", "plain", "leather"),
        ),
        "wide trousers": Cut(
            Atr.PANTS,
            (640, 770),
            (5, 14),
            flare=(6, 34),
            details=("crease",),
            legs=True,
            patterns=("plain", "upright stripes", "flowers", "plain"),
            weight=0.7,
        ),
        "shorts": Cut(
            Atr.PANTS,
            (366, 475),
            (2, 9),
            flare=(0, 8),
            details=("fly", "pockets"),
            legs=True,
            patterns=("plain", "denim", "checks", "flowers", "stripes"),
            weight=1.6,
        ),
        "pencil skirt": Cut(
            Atr.PANTS, (400, 600), (0, 4), flare=(-24, -8), patterns=_PRINTS, weight=1.3
        ),
        "a-line skirt": Cut(
            Atr.PANTS, (366, 600), (3, 10), flare=(-10, 8), patterns=_PRINTS, weight=1.3
        ),
        "long skirt": Cut(
            Atr.PANTS, (560, 745), (2, 8), flare=(-6, 34), patterns=_PRINTS, weight=0.5
        ),
    },
    "dress": {
        "shift dress": Cut(
            Atr.DRESS,
            (486, 650),
            (12, 24),
            ("crew", "boat", "scoop"),
            (_NONE, _CAP, _SHORT, _LONG),
            (1.7, 2.0),
            (0, 20),
            patterns=_PRINTS,
            weight=1.3,
        ),
        "a-line dress": Cut(
            Atr.DRESS,
            (486, 740),
            (6, 14),
            ("v", "scoop", "boat", "straps", "one shoulder"),
            (_CAP, _SHORT, _HALF, _LONG),
            (1.6, 2.0),
            (8, 64),
            details=("waist",),
            patterns=_PRINTS,
            weight=1.8,
        ),
        "long dress": Cut(
            Atr.DRESS,
            (600, 755),
            (6, 14),
            ("v", "straps", "strapless", "one shoulder", "boat"),
            (_NONE, _CAP, _CAP, _LONG),
            (1.6, 2.0),
            (8, 72),
            details=("waist",),
            patterns=_PRINTS,
            weight=1.6,
        ),
        "wide-sleeved dress": Cut(
            Atr.DRESS,
            (486, 740),
            (9, 20),
            ("v", "boat", "crew"),
            (_LONG, _HALF),
            (2.2, 3.0),
            (4, 40),
            details=("waist",),
            patterns=_PRINTS,
            weight=2.4,
        ),
        "shirt dress": Cut(
            Atr.DRESS,
            (486, 740),
            (9, 20),
            ("collar",),
            (_LONG, _HALF, _SHORT, _CAP),
            (1.6, 2.0),
            (4, 36),
            closing="buttons",
            details=("waist", "cuffs"),
            patterns=("plain", "upright stripes", "checks", "denim", "dots"),
            weight=1.3,
        ),
        "fitted dress": Cut(
            Atr.DRESS,
            (486, 740),
            (1, 6),
            ("scoop", "boat", "one shoulder", "turtle"),
            (_CAP, _SHORT, _HALF),
            (1.12, 1.25),
            (-8, 4),
            patterns=_PRINTS,
            weight=0.6,
        ),
        "jumpsuit": Cut(
            Atr.DRESS,
            (690, 760),
            (3, 12),
            ("v", "straps", "scoop", "collar"),
            (_NONE, _SHORT, _LONG),
            (1.6, 2.0),
            (0, 30),
            details=("waist",),
            legs=True,
            patterns=("plain", "plain", "denim", "flowers", "dots"),
            weight=0.8,
        ),
    },
}


@dataclass(frozen=True)
class Garment:
    """One piece of clothing; the same object gives the in-shop picture and the worn one."""

    kind: str
    cut: Cut
    pattern: str
    colours: tuple[str, str, str]
    neck: str
    hem: float
    ease: float
    flare: float
    sleeve: float
    sleeve_ease: float
    word: str
    seed: int


_DARK = {
    "ink",
    "navy",
    "burgundy",
    "charcoal",
    "emerald",
    "chocolate",
    "cobalt",
    "olive",
    "teal",
    "denim",
}


def pick(rng: np.random.Generator, options):
    """One of the options, all equally likely."""
    return options[int(rng.integers(len(options)))]


def _weighted(rng: np.random.Generator, table: dict[str, Any]) -> str:
    weights = np.array([row.weight for row in table.values()])
    return list(table)[int(rng.choice(len(weights), p=weights / weights.sum()))]


def _colours(rng: np.random.Generator) -> tuple[str, str, str]:
    """A ground, a figure that stands out from it, and an accent."""
    base = pick(rng, list(COLOURS))
    light, dark = [c for c in COLOURS if c not in _DARK], [c for c in COLOURS if c in _DARK]
    second = pick(rng, light if base in _DARK else dark)
    return base, second, pick(rng, [c for c in COLOURS if c not in (base, second)])


def _mostly_first(rng: np.random.Generator, first: float, last: float) -> float:
    """A number between two, seldom near the last."""
    return first + (last - first) * rng.random() ** 2


def _mostly_middle(rng: np.random.Generator, first: float, last: float) -> float:
    """A number between two, seldom near either."""
    return rng.triangular(first, (first + last) / 2, last)


# What the shown garments' hems are drawn from: (rank, place between hips 0 and ankles 1). Found by
# measuring the label maps that come of it against the real ones: cuffs and folds reach lower.
HEMS = {
    Category.UPPER_BODY: (
        (0, -0.2),
        (0.1, -0.135),
        (0.5, -0.025),
        (0.77, 0.01),
        (0.95, 0.035),
        (1, 0.2),
    ),
    Category.LOWER_BODY: (
        (0, 0.2),
        (0.1, 0.26),
        (0.25, 0.38),
        (0.5, 0.45),
        (0.75, 0.54),
        (0.9, 0.79),
        (1, 1.0),
    ),
    Category.DRESSES: (
        (0, 0.44),
        (0.1, 0.54),
        (0.25, 0.66),
        (0.5, 0.735),
        (0.75, 0.79),
        (0.9, 0.83),
        (1, 1.0),
    ),
}
_HIPS, _ABOVE, _BELOW = 270.0, 427.0, 482.0  # the hips' height, and units to a share on either side


def shown_hem(rng: np.random.Generator, category: Category) -> float:
    """How long the garment of a person of this category is, in units below the neck joint."""
    share = float(np.interp(rng.random(), *np.transpose(HEMS[category])))
    return _HIPS + share * (_ABOVE if share < 0 else _BELOW)


def make_garment(
    rng: np.random.Generator,
    part: str,
    kinds: tuple[str, ...] = (),
    hem: float | None = None,
    longest: float = 1000,
) -> Garment:
    """A garment of the wardrobe.

    Args:
        part: "upper", "lower" or "dress".
        kinds: which to choose from; all of the part by default.
        hem: how long it is; by default as the kind's garments are.
        longest: how long it may be.
    """
    table = {name: cut for name, cut in WARDROBE[part].items() if not kinds or name in kinds}
    if hem is not None:
        table = {n: cut for n, cut in table.items() if cut.hem[0] <= hem <= cut.hem[1]} or table
    kind = _weighted(rng, table)
    cut = table[kind]
    low, high = pick(rng, cut.sleeves)
    colours = _colours(rng)
    pattern = pick(rng, cut.patterns)
    if pattern == "denim":
        colours = pick(rng, ("denim", "navy", "sky", "charcoal")), "cream", "camel"
    neck = pick(rng, cut.necks) if cut.necks else ""
    length = 0.0 if neck in ("straps", "strapless", "one shoulder") else rng.uniform(low, high)
    drawn = _mostly_middle(rng, *cut.hem)
    hem = min(drawn if hem is None else hem, longest)
    room = float(np.clip((hem - _HIPS) / 250, 0.3, 1))  # a short skirt has no room to flare
    return Garment(
        kind,
        cut,
        pattern,
        colours,
        neck,
        hem,
        rng.uniform(*cut.ease),
        _mostly_first(rng, *cut.flare) * room,
        length,
        rng.uniform(*cut.sleeve_ease),
        pick(rng, WORDS),
        int(rng.integers(1 << 30)),
    )
