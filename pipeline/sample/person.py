"""Who is in a picture: pose, build, looks and clothes, drawn from tables by a random generator of
the person's own."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from pipeline.base.labels import Atr, Category
from pipeline.sample.cloth import COLOURS, WORDS


@dataclass(frozen=True)
class Arm:
    """Angles in degrees from straight down, outwards positive; lengths as shares of the full ones;
    what the hand does.

    ``place`` says where the arm lies: "front" of the clothes, or "behind" the back.
    """

    upper: float = 8
    lower: float = 2
    reach: tuple[float, float] = (1, 1)
    hand: str = "hanging"
    place: str = "front"


@dataclass(frozen=True)
class Pose:
    """One row of the table: the arms, the legs as (thigh, shin) angles, and how far the body is
    turned (-1..1)."""

    right: Arm = Arm()
    left: Arm = Arm()
    legs: tuple[tuple[float, float], tuple[float, float]] = ((2, 0), (2, 0))
    turn: float = 0.0
    back: bool = False
    weight: float = 1.0


_HIP, _POCKET = Arm(40, -48, hand="hip"), Arm(19, -22, hand="pocket")
_STRIDE = ((-3, -2), (8, 5))

POSES: dict[str, Pose] = {
    "standing": Pose(weight=2.4),
    "relaxed": Pose(Arm(12, -5), Arm(10, -2), ((4, 1), (3, -2)), weight=2.0),
    "hands on hips": Pose(_HIP, _HIP, ((5, 1), (5, 1)), weight=0.9),
    "hand on hip": Pose(_HIP, Arm(9, 2), ((6, -1), (1, 0)), 0.15, weight=1.1),
    "hands in pockets": Pose(_POCKET, _POCKET, weight=1.0),
    "hand in pocket": Pose(Arm(9, 0), _POCKET, ((1, 0), (5, -1)), -0.15, weight=1.0),
    "arms crossed": Pose(
        Arm(7, -96, (0.95, 0.92), "tucked"), Arm(9, -99, (0.95, 0.9), "flat"), weight=1.1
    ),
    "arm across": Pose(Arm(8, -82, (0.95, 0.95), "flat"), Arm(8, 1), weight=0.7),
    "hand raised": Pose(
        Arm(9, -148, (0.95, 0.8), "flat"), Arm(9, 0), ((3, 0), (4, -2)), weight=0.6
    ),
    "walking": Pose(Arm(14, -6), Arm(4, -10), _STRIDE, 0.25, weight=1.4),
    "walking left": Pose(Arm(5, -9), Arm(13, -5), (_STRIDE[1], _STRIDE[0]), -0.25, weight=1.0),
    "turned right": Pose(Arm(7, -3), Arm(7, -12), ((0, -1), (4, 1)), 0.55, weight=1.0),
    "turned left": Pose(Arm(7, -12), Arm(7, -3), ((4, 1), (0, -1)), -0.55, weight=1.0),
    "hands behind": Pose(
        Arm(14, -16, hand="behind", place="behind"),
        Arm(14, -16, hand="behind", place="behind"),
        weight=0.6,
    ),
    "bag before": Pose(Arm(8, -34, (1, 0.95), "fist"), Arm(8, -36, (1, 0.95), "fist"), weight=0.9),
    "bag in hand": Pose(Arm(8, -2, hand="fist"), Arm(9, 0), _STRIDE, 0.1, weight=1.0),
    "seen from behind": Pose(Arm(8, 2), Arm(8, 2), ((3, 0), (3, 0)), back=True, weight=0.22),
}


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
_SHORT, _LONG, _NONE = (0.3, 0.5), (0.9, 1.0), (0.0, 0.0)

WARDROBE: dict[str, dict[str, Cut]] = {
    "upper": {
        "t-shirt": Cut(
            Atr.UPPER_CLOTHES,
            (255, 310),
            (3, 16),
            ("crew", "crew", "v"),
            (_SHORT,),
            (1.25, 1.7),
            patterns=("lettering", "lettering", *_PRINTS),
            weight=2.0,
        ),
        "jumper": Cut(
            Atr.UPPER_CLOTHES,
            (260, 315),
            (8, 24),
            ("crew", "turtle", "v"),
            (_LONG,),
            (1.3, 1.8),
            details=("ribs",),
            patterns=("knit", "knit", "stripes", "diamonds", "plain", "lettering"),
            weight=1.5,
        ),
        "shirt": Cut(
            Atr.UPPER_CLOTHES,
            (270, 330),
            (6, 20),
            ("collar",),
            (_LONG, _LONG, _SHORT),
            (1.25, 1.6),
            closing="buttons",
            details=("pocket", "cuffs"),
            patterns=("plain", "upright stripes", "checks", "denim", "dots", "windowpane"),
            weight=1.7,
        ),
        "camisole": Cut(
            Atr.UPPER_CLOTHES,
            (235, 300),
            (0, 14),
            ("straps", "straps", "strapless"),
            patterns=_PRINTS,
            weight=0.8,
        ),
        "sleeveless top": Cut(
            Atr.UPPER_CLOTHES, (245, 305), (1, 16), ("scoop", "boat", "v"), patterns=_PRINTS
        ),
        "wide blouse": Cut(
            Atr.UPPER_CLOTHES,
            (265, 325),
            (12, 26),
            ("v", "boat", "scoop"),
            (_LONG, (0.6, 0.8)),
            (2.1, 2.9),
            (4, 18),
            patterns=_PRINTS,
            weight=1.2,
        ),
        "jacket": Cut(
            Atr.UPPER_CLOTHES,
            (275, 340),
            (10, 20),
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
            (430, 640),
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
            (280, 400),
            (10, 24),
            ("v",),
            (_LONG,),
            (1.4, 2.0),
            closing="open",
            details=("ribs",),
            patterns=("knit", "plain", "stripes"),
            weight=0.8,
        ),
    },
    "lower": {
        "trousers": Cut(
            Atr.PANTS,
            (700, 765),
            (3, 14),
            flare=(-4, 8),
            details=("fly", "pockets"),
            legs=True,
            patterns=("plain", "plain", "denim", "denim", "checks", "upright stripes"),
            weight=2.0,
        ),
        "skinny trousers": Cut(
            Atr.PANTS,
            (690, 745),
            (0, 3),
            flare=(-2, 0),
            details=("fly", "pockets"),
            legs=True,
            patterns=("denim", "plain", "leather"),
        ),
        "wide trousers": Cut(
            Atr.PANTS,
            (690, 770),
            (8, 18),
            flare=(10, 46),
            details=("crease",),
            legs=True,
            patterns=("plain", "upright stripes", "flowers", "plain"),
            weight=0.7,
        ),
        "shorts": Cut(
            Atr.PANTS,
            (370, 460),
            (6, 16),
            flare=(4, 22),
            details=("fly", "pockets"),
            legs=True,
            patterns=("plain", "denim", "checks", "flowers", "stripes"),
            weight=1.6,
        ),
        "pencil skirt": Cut(
            Atr.PANTS, (440, 570), (1, 5), flare=(-8, 2), patterns=_PRINTS, weight=1.0
        ),
        "a-line skirt": Cut(
            Atr.PANTS, (390, 620), (3, 10), flare=(20, 95), patterns=_PRINTS, weight=1.4
        ),
        "long skirt": Cut(
            Atr.PANTS, (640, 745), (4, 12), flare=(15, 140), patterns=_PRINTS, weight=0.7
        ),
    },
    "dress": {
        "shift dress": Cut(
            Atr.DRESS,
            (430, 640),
            (5, 16),
            ("crew", "boat", "scoop"),
            (_NONE, _SHORT, _LONG),
            (1.25, 1.7),
            (4, 26),
            patterns=_PRINTS,
            weight=1.3,
        ),
        "a-line dress": Cut(
            Atr.DRESS,
            (460, 720),
            (0, 6),
            ("v", "scoop", "straps", "one shoulder"),
            (_NONE, _SHORT, _LONG),
            (1.2, 1.5),
            (15, 120),
            details=("waist",),
            patterns=_PRINTS,
            weight=1.8,
        ),
        "long dress": Cut(
            Atr.DRESS,
            (640, 750),
            (0, 8),
            ("v", "straps", "strapless", "one shoulder", "boat"),
            (_NONE, _NONE, _LONG),
            (1.3, 1.7),
            (10, 150),
            details=("waist",),
            patterns=_PRINTS,
            weight=3.0,
        ),
        "wide-sleeved dress": Cut(
            Atr.DRESS,
            (460, 720),
            (4, 14),
            ("v", "boat", "crew"),
            (_LONG, (0.6, 0.8)),
            (2.2, 3.0),
            (15, 80),
            details=("waist",),
            patterns=_PRINTS,
            weight=1.2,
        ),
        "shirt dress": Cut(
            Atr.DRESS,
            (460, 720),
            (4, 12),
            ("collar",),
            (_LONG, _SHORT),
            (1.3, 1.6),
            (10, 60),
            closing="buttons",
            details=("waist", "cuffs"),
            patterns=("plain", "upright stripes", "checks", "denim", "dots"),
            weight=0.9,
        ),
        "fitted dress": Cut(
            Atr.DRESS,
            (460, 720),
            (0, 2),
            ("scoop", "boat", "one shoulder", "turtle"),
            (_NONE, _SHORT, _LONG),
            (1.12, 1.25),
            (-8, 4),
            patterns=_PRINTS,
        ),
        "jumpsuit": Cut(
            Atr.DRESS,
            (690, 760),
            (3, 12),
            ("v", "straps", "scoop", "collar"),
            (_NONE, _SHORT, _LONG),
            (1.25, 1.6),
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


@dataclass(frozen=True)
class Person:
    """Everything that decides the pictures and annotations of one person.

    ``pose`` is a key of ``POSES``; ``defects`` names the faults that the annotations carry (see
    ``annotate``); ``worn`` maps "upper", "lower", "dress" and "coat" to what is put on; ``shown``
    is the in-shop picture's garment.
    """

    category: Category
    id: str
    pose: str
    build: str
    skin: tuple[int, int, int]
    hair: str
    hair_colour: tuple[int, int, int]
    worn: dict[str, Garment]
    shown: str
    tucked: bool
    shoes: str
    shoe_colour: str
    extras: tuple[str, ...]
    extra_colour: str
    background: str
    defects: tuple[str, ...]
    scale: float
    centre: float
    jitter: tuple[float, ...]
    seed: tuple[int, ...]

    @property
    def garment(self) -> Garment:
        """The garment of the in-shop picture."""
        return self.worn[self.shown]


SKINS = (
    (246, 214, 192),
    (236, 196, 168),
    (222, 176, 142),
    (198, 148, 112),
    (160, 112, 82),
    (118, 80, 60),
    (86, 58, 46),
)
HAIRS = (
    (38, 30, 28),
    (60, 42, 32),
    (96, 64, 42),
    (142, 98, 60),
    (198, 158, 104),
    (134, 62, 40),
    (24, 22, 26),
)
HAIR_STYLES = ("bound", "bound", "long", "long", "long behind", "one side", "short", "short")
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


def _weighted(rng: np.random.Generator, table: dict) -> str:
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


def make_garment(rng: np.random.Generator, part: str, kind: str | None = None) -> Garment:
    """A garment of the wardrobe's part ("upper", "lower", "dress"), of any kind or the one
    named."""
    kind = kind or _weighted(rng, WARDROBE[part])
    cut = WARDROBE[part][kind]
    low, high = pick(rng, cut.sleeves)
    colours = _colours(rng)
    pattern = pick(rng, cut.patterns)
    if pattern == "denim":
        colours = pick(rng, ("denim", "navy", "sky", "charcoal")), "cream", "camel"
    neck = pick(rng, cut.necks) if cut.necks else ""
    length = 0.0 if neck in ("straps", "strapless", "one shoulder") else rng.uniform(low, high)
    return Garment(
        kind,
        cut,
        pattern,
        colours,
        neck,
        _mostly_middle(rng, *cut.hem),
        rng.uniform(*cut.ease),
        _mostly_first(rng, *cut.flare),
        length,
        rng.uniform(*cut.sleeve_ease),
        pick(rng, WORDS),
        int(rng.integers(1 << 30)),
    )


_UNDER_COAT = ("t-shirt", "sleeveless top", "jumper", "shirt")
_BESIDE = ("t-shirt", "shirt", "jumper", "camisole", "sleeveless top", "wide blouse")


def _clothes(rng: np.random.Generator, category: Category) -> tuple[dict[str, Garment], str]:
    """What is worn, and which of it the in-shop picture shows."""
    if category is Category.DRESSES:
        worn = {"dress": make_garment(rng, "dress")}
        if rng.random() < 0.03:
            worn["coat"] = make_garment(rng, "upper", "open coat")
        return worn, "dress"
    lower = make_garment(rng, "lower")
    if category is Category.UPPER_BODY:
        upper = make_garment(rng, "upper")
        if upper.cut.closing == "open":
            under = make_garment(rng, "upper", pick(rng, _UNDER_COAT))
            return {"upper": under, "lower": lower, "coat": upper}, "coat"
        return {"upper": upper, "lower": lower}, "upper"
    worn = {"upper": make_garment(rng, "upper", pick(rng, _BESIDE)), "lower": lower}
    if rng.random() < 0.15:
        worn["coat"] = make_garment(rng, "upper", pick(rng, ("open coat", "open cardigan")))
    return worn, "lower"


def _extras(rng: np.random.Generator, pose: str) -> tuple[str, ...]:
    """Bags, scarves, hats and belts."""
    extras = []
    if pose in ("bag before", "bag in hand"):
        extras.append("bag")
    elif POSES[pose].right.hand == "hanging" and rng.random() < 0.1:
        extras.append("hat in hand" if rng.random() < 0.4 else "shoulder bag")
    if rng.random() < 0.08:
        extras.append("scarf")
    if rng.random() < 0.2:
        extras.append("belt")
    return tuple(extras)


# Rates of 53,792 people: see the data set's facts in the documentation.
JOINT_RATES = {
    "left shoulder": 17,
    "right hip": 24,
    "left hip": 38,
    "right elbow": 304,
    "left elbow": 478,
    "right wrist": 1084,
    "left wrist": 1241,
    "few joints": 30,
}
PEOPLE = 53_792
DEFECT_RATES = {
    **{
        f"missing {name}": count / PEOPLE
        for name, count in JOINT_RATES.items()
        if name != "few joints"
    },
    "few joints": JOINT_RATES["few joints"] / PEOPLE,
    "label fragment": 0.25,
    "bag in pieces": 0.3,
    "wrong dense patches": 0.45,
    "half dress": 0.35,
    "skirt called upper clothes": 0.002,
}


def _defects(
    rng: np.random.Generator, worn: dict[str, Garment], extras: tuple[str, ...]
) -> tuple[str, ...]:
    """Names of the faults, each at its rate where it can occur."""
    skirt = any(not worn[part].cut.legs for part in ("lower", "dress") if part in worn)
    possible = {
        "bag in pieces": any("bag" in e for e in extras),
        "wrong dense patches": skirt,
        "half dress": worn.get("dress") is not None and worn["dress"].kind == "jumpsuit",
        "skirt called upper clothes": skirt and "lower" in worn,
    }
    chance = rng.random(len(DEFECT_RATES))
    return tuple(
        name
        for (name, rate), drawn in zip(DEFECT_RATES.items(), chance)
        if drawn < rate and possible.get(name, True)
    )


def describe_person(category: Category, person_id: str, seed: int = 0) -> Person:
    """The person that ``make_sample`` draws for this category, id and seed; always the same one."""
    key = (seed, category.index, int(person_id))
    rng = np.random.default_rng(key)
    worn, shown = _clothes(rng, category)
    pose = _weighted(rng, POSES)
    broad = category is not Category.DRESSES and rng.random() < 0.3 and worn["lower"].cut.legs
    extras = _extras(rng, pose)
    return Person(
        category,
        person_id,
        pose,
        "broad" if broad else "slim",
        pick(rng, SKINS),
        "short" if broad else pick(rng, HAIR_STYLES),
        pick(rng, HAIRS),
        worn,
        shown,
        rng.random() < 0.4,
        pick(
            rng,
            ("sneakers", "boots", "loafers")
            if broad
            else ("sneakers", "boots", "pumps", "pumps", "sandals", "loafers"),
        ),
        pick(rng, ("ink", "white", "camel", "chocolate", "cream", "red", "charcoal")),
        extras,
        pick(rng, ("ink", "camel", "burgundy", "cream", "emerald", "mustard", "red")),
        pick(
            rng,
            (
                "white",
                "white",
                "white",
                "grey",
                "grey",
                "studio",
                "studio",
                "room",
                "wall",
                "street",
            ),
        ),
        _defects(rng, worn, extras),
        rng.uniform(0.955, 1.03),
        rng.uniform(345, 415),
        tuple(rng.normal(0, 1, 16)),
        key,
    )
