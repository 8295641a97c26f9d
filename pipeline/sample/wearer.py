"""Who is in a picture: pose, build, looks and clothes, drawn from tables by a random generator of
the person's own."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from pipeline.base.labels import Category
from pipeline.sample.poses import Stance, draw_stance
from pipeline.sample.statistics import real_statistics
from pipeline.sample.wardrobe import Garment, make_garment, pick, shown_hem


@dataclass(frozen=True)
class Wearer:
    """Everything that decides the pictures and annotations of one person.

    ``stance`` is how the body stands; ``defects`` names the faults that the annotations carry (see
    ``annotate``); ``worn`` maps "upper", "lower", "dress" and "coat" to what is put on; ``shown``
    is the in-shop picture's garment.
    """

    category: Category
    id: str
    stance: Stance
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
    jitter: tuple[float, ...]
    seed: tuple[int, ...]

    @property
    def pose(self) -> str:
        """The pose's name, one of ``POSES``."""
        return self.stance.name

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
HAIR_STYLES = ("bound", "bound", "long", "long behind", "long behind", "one side", "short", "short")
_TUCKED = {Category.UPPER_BODY: 0.08, Category.LOWER_BODY: 0.2, Category.DRESSES: 0.0}
"""How often the top is tucked in: who shows a skirt shows its waist."""
_SHORT_TOP = 248.0
_UNDER_COAT = ("t-shirt", "sleeveless top", "jumper", "shirt")
_BESIDE = ("t-shirt", "shirt", "jumper", "camisole", "sleeveless top", "wide blouse")


def _clothes(rng: np.random.Generator, category: Category) -> tuple[dict[str, Garment], str]:
    """What is worn, and which of it the in-shop picture shows."""
    hem = shown_hem(rng, category)
    if category is Category.DRESSES:
        worn = {"dress": make_garment(rng, "dress", hem=hem)}
        if rng.random() < 0.03:
            worn["coat"] = make_garment(rng, "upper", ("open coat",))
        return worn, "dress"
    if category is Category.UPPER_BODY:
        upper, lower = make_garment(rng, "upper", hem=hem), make_garment(rng, "lower")
        if upper.cut.closing == "open":
            under = make_garment(rng, "upper", _UNDER_COAT, longest=upper.hem - 10)
            return {"upper": under, "lower": lower, "coat": upper}, "coat"
        return {"upper": upper, "lower": lower}, "upper"
    worn = {
        "upper": make_garment(rng, "upper", _BESIDE, longest=_SHORT_TOP),
        "lower": make_garment(rng, "lower", hem=hem),
    }
    if rng.random() < 0.03:
        worn["coat"] = make_garment(rng, "upper", ("open coat", "open cardigan"))
    return worn, "lower"


def _extras(rng: np.random.Generator, stance: Stance) -> tuple[str, ...]:
    """Bags, scarves, hats and belts."""
    extras = []
    if stance.name == "bag before":
        extras.append("bag")
    elif stance.right.hand == "hanging" and rng.random() < 0.09:
        extras.append(pick(rng, ("hat in hand", "shoulder bag", "bag", "bag")))
    if rng.random() < 0.05:
        extras.append("scarf")
    if rng.random() < 0.2:
        extras.append("belt")
    return tuple(extras)


DEFECT_RATES = {
    "few joints": 30 / 53_792,
    "label fragment": 0.25,
    "bag in pieces": 0.3,
    "wrong dense patches": 0.45,
    "half dress": 0.35,
    "skirt called upper clothes": 0.002,
}


def defect_rates(category: Category) -> dict[str, float]:
    """How often each fault occurs where it can: joints are missed as often as in the real files."""
    shares = real_statistics()[str(category)]["missing_share"]
    return {f"missing {name}": share for name, share in shares.items()} | DEFECT_RATES


def _defects(
    rng: np.random.Generator,
    category: Category,
    worn: dict[str, Garment],
    extras: tuple[str, ...],
) -> tuple[str, ...]:
    """Names of the faults, each at its rate where it can occur."""
    skirt = any(not worn[part].cut.legs for part in ("lower", "dress") if part in worn)
    possible = {
        "bag in pieces": any("bag" in e for e in extras),
        "wrong dense patches": skirt,
        "half dress": worn.get("dress") is not None and worn["dress"].kind == "jumpsuit",
        "skirt called upper clothes": skirt and "lower" in worn,
    }
    rates = defect_rates(category)
    return tuple(
        name
        for (name, rate), drawn in zip(rates.items(), rng.random(len(rates)))
        if drawn < rate and possible.get(name, True)
    )


def describe_wearer(category: Category, person_id: str, seed: int = 0) -> Wearer:
    """The person that ``make_sample`` draws for this category, id and seed; always the same one."""
    key = (seed, category.index, int(person_id))
    rng = np.random.default_rng(key)
    worn, shown = _clothes(rng, category)
    stance = draw_stance(category, rng, bag=rng.random() < 0.5)
    broad = category is not Category.DRESSES and rng.random() < 0.3 and worn["lower"].cut.legs
    extras = _extras(rng, stance)
    return Wearer(
        category,
        person_id,
        stance,
        "broad" if broad else "slim",
        pick(rng, SKINS),
        "short" if broad else pick(rng, HAIR_STYLES),
        pick(rng, HAIRS),
        worn,
        shown,
        rng.random() < _TUCKED[category],
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
        _defects(rng, category, worn, extras),
        tuple(rng.normal(0, 1, 16)),
        key,
    )
