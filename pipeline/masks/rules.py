"""The table of rules: what each style hides and keeps for each category.

To make an own style, add a row for each category, with ``dataclasses.replace`` on the row that
comes nearest, and pass its name as ``style``. docs/masks.md says what each number does.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from pipeline.base.labels import Atr, Category

ARMS = (Atr.LEFT_ARM, Atr.RIGHT_ARM)
LEGS = (Atr.LEFT_LEG, Atr.RIGHT_LEG)
HAIR_AND_HAT = (Atr.HAT, Atr.HAIR, Atr.SUNGLASSES)
SHOES = (Atr.LEFT_SHOE, Atr.RIGHT_SHOE)
BOTTOMS = (Atr.SKIRT, Atr.PANTS)
TRUNK_PARTS, HAND_PARTS, FOOT_PARTS, HEAD_PARTS = (1, 2), (3, 4), (5, 6), (23, 24)
LEG_PARTS, ARM_PARTS = tuple(range(7, 15)), tuple(range(15, 23))


@dataclass(frozen=True)
class Arms:
    """Radius of the region around the bones of the arms."""

    shoulder: float
    elbow: float
    wrist: float


@dataclass(frozen=True)
class Trunk:
    """Margin outside shoulders, waist and hips, and length of the hem below the hips."""

    shoulders: float
    waist: float
    hips: float
    hem: float


@dataclass(frozen=True)
class Legs:
    """Margin outside the waist, and outside the joints of hips, knees and ankles."""

    waist: float
    hips: float
    knees: float
    ankles: float


@dataclass(frozen=True)
class Skirt:
    """Half the width of the region below the hips, whatever the legs do: at a quarter, half and
    three quarters of the way to the ankles, and at the ankles; and how far its middle follows the
    ankles aside, from 0, straight down, to 1."""

    thighs: float
    knees: float
    shins: float
    ankles: float
    follow: float = 0.25


@dataclass(frozen=True)
class Rule:
    """What one style hides for one category. Lengths are in body units; the empty tuple and None
    stand for "none".

    Attributes:
        garment: labels that are always hidden.
        keep: labels that are never hidden.
        keep_skin: of "face", "hands" and "feet", those that are never hidden although their label
            is skin.
        skin: labels of skin that the garment may cover: grown like the garment.
        also: labels that may be part of the garment under another name: grown like it, but only on
            the garment's side of the hips (above for upper clothes, below for trousers).
        doubt: of the labels that are kept, those of other clothes: they count as garment where the
            body shows that a parser mistook it.
        keep_parts: DensePose parts that are never hidden; used where there is no label map.
        parts: DensePose parts that belong to the region.
        part_margin: how far they are grown.
        trunk_end: length below the hips at which those of the trunk end.
        arms, trunk, legs, skirt: shapes around the joints; legs and skirt share one convex outline.
        grow: how far garment and skin are grown, at least a few pixels.
    """

    garment: tuple[int, ...] = ()
    keep: tuple[int, ...] = ()
    keep_skin: tuple[str, ...] = ()
    skin: tuple[int, ...] = ()
    also: tuple[int, ...] = ()
    doubt: tuple[int, ...] = ()
    keep_parts: tuple[int, ...] = ()
    parts: tuple[int, ...] = ()
    part_margin: float = 0.03
    trunk_end: float = 9.0
    arms: Arms | None = None
    trunk: Trunk | None = None
    legs: Legs | None = None
    skirt: Skirt | None = None
    grow: float = 0.0

    def __post_init__(self):
        if both := set(self.garment) & set(self.keep):
            raise ValueError(
                f"Rule hides and keeps the same labels: {sorted(int(b) for b in both)}."
            )


_UPPER = Rule(
    garment=(Atr.UPPER_CLOTHES,),
    keep=(*HAIR_AND_HAT, *BOTTOMS, *SHOES, *LEGS, Atr.BAG),
    keep_skin=("face", "hands"),
    skin=(*ARMS, Atr.HEAD),
    also=(Atr.DRESS, Atr.SCARF),
    doubt=BOTTOMS,
    keep_parts=HAND_PARTS + FOOT_PARTS + HEAD_PARTS,
    parts=TRUNK_PARTS + ARM_PARTS,
    arms=Arms(shoulder=0.24, elbow=0.42, wrist=0.17),
    trunk=Trunk(shoulders=0.03, waist=0.38, hips=0.52, hem=0.06),
)
_LOWER = Rule(
    garment=BOTTOMS,
    keep=(*HAIR_AND_HAT, Atr.HEAD, Atr.UPPER_CLOTHES, *ARMS, *SHOES, Atr.BAG),
    keep_skin=("feet",),
    skin=LEGS,
    also=(Atr.DRESS, Atr.BELT),
    doubt=(Atr.UPPER_CLOTHES,),
    keep_parts=HAND_PARTS + FOOT_PARTS + HEAD_PARTS + ARM_PARTS,
    parts=LEG_PARTS,
    legs=Legs(waist=0.20, hips=0.10, knees=0.22, ankles=0.12),
    skirt=Skirt(thighs=0.92, knees=0.85, shins=0.46, ankles=0.24, follow=0.20),
)
_DRESSES = Rule(
    garment=(Atr.DRESS, Atr.UPPER_CLOTHES, *BOTTOMS),
    keep=(*HAIR_AND_HAT, *SHOES, Atr.BAG),
    keep_skin=("face", "hands", "feet"),
    skin=(*ARMS, *LEGS, Atr.HEAD),
    also=(Atr.SCARF, Atr.BELT),
    keep_parts=HAND_PARTS + FOOT_PARTS + HEAD_PARTS,
    parts=TRUNK_PARTS + ARM_PARTS + LEG_PARTS,
    arms=Arms(shoulder=0.17, elbow=0.42, wrist=0.19),
    trunk=Trunk(shoulders=0.02, waist=0.34, hips=0.25, hem=0.11),
    legs=Legs(waist=0.02, hips=0.42, knees=0.21, ankles=0.14),
    skirt=Skirt(thighs=0.61, knees=0.99, shins=0.89, ankles=0.38, follow=0.25),
)


def _bare(rule: Rule) -> Rule:
    """Nothing but the garment itself."""
    return replace(rule, skin=(), also=(), parts=(), arms=None, trunk=None, legs=None, skirt=None)


RULES: dict[tuple[Category, str], Rule] = {
    (Category.UPPER_BODY, "standard"): _UPPER,
    (Category.LOWER_BODY, "standard"): _LOWER,
    (Category.DRESSES, "standard"): _DRESSES,
    # The literal recipe: keypoints and DensePose for the upper body, the label map as well for the
    # lower.
    (Category.UPPER_BODY, "recipe"): replace(
        _UPPER,
        garment=(),
        keep=(),
        keep_skin=(),
        skin=(),
        also=(),
        keep_parts=(),
        part_margin=0.08,
        arms=Arms(shoulder=0.22, elbow=0.28, wrist=0.38),
        trunk=Trunk(shoulders=0.06, waist=0.08, hips=0.18, hem=0.15),
    ),
    (Category.LOWER_BODY, "recipe"): replace(
        _LOWER, keep=(), keep_skin=(), also=(), keep_parts=(), grow=0.08
    ),
    (Category.DRESSES, "recipe"): replace(
        _DRESSES,
        keep=(),
        keep_skin=(),
        skin=(*ARMS, *LEGS),
        also=(),
        keep_parts=(),
        part_margin=0.08,
        arms=Arms(shoulder=0.20, elbow=0.22, wrist=0.26),
        grow=0.10,
    ),
    (Category.UPPER_BODY, "tight"): replace(_bare(_UPPER), also=(Atr.DRESS,), grow=0.06),
    (Category.LOWER_BODY, "tight"): replace(_bare(_LOWER), also=(Atr.DRESS,), grow=0.06),
    (Category.DRESSES, "tight"): replace(_bare(_DRESSES), grow=0.06),
    (Category.UPPER_BODY, "loose"): replace(
        _UPPER,
        arms=Arms(shoulder=0.26, elbow=0.36, wrist=0.44),
        trunk=Trunk(shoulders=0.20, waist=0.30, hips=0.60, hem=0.60),
        grow=0.14,
    ),
    (Category.LOWER_BODY, "loose"): replace(
        _LOWER,
        legs=Legs(waist=0.12, hips=0.60, knees=0.60, ankles=0.50),
        skirt=Skirt(thighs=1.05, knees=1.25, shins=1.25, ankles=1.00),
        grow=0.14,
    ),
    (Category.DRESSES, "loose"): replace(
        _DRESSES,
        arms=Arms(shoulder=0.24, elbow=0.32, wrist=0.38),
        trunk=Trunk(shoulders=0.16, waist=0.25, hips=0.50, hem=0.30),
        legs=Legs(waist=0.12, hips=0.60, knees=0.60, ankles=0.50),
        skirt=Skirt(thighs=1.15, knees=1.35, shins=1.40, ankles=1.10),
        grow=0.14,
    ),
}
"""(category, style) -> rule. "standard" is the default; "recipe" trusts no labels to keep anything;
"tight" follows the garment, "loose" tells as little of it as possible."""

UNLABELLED: dict[Category, Rule] = {
    Category.UPPER_BODY: replace(
        _UPPER,
        arms=Arms(shoulder=0.08, elbow=0.10, wrist=0.14),
        trunk=Trunk(shoulders=0.00, waist=-0.10, hips=0.10, hem=0.00),
        part_margin=0.05,
        trunk_end=0.05,
    ),
    Category.LOWER_BODY: replace(
        _LOWER,
        legs=Legs(waist=0.00, hips=0.16, knees=0.20, ankles=0.16),
        skirt=Skirt(thighs=0.60, knees=0.60, shins=0.50, ankles=0.36),
        part_margin=0.05,
    ),
    Category.DRESSES: _DRESSES,
}
"""Category -> the rule of "standard" without a label map, and of styles that draw nothing without
one. Nothing tells then what has to stay visible, so that less is hidden around the body, and an
upper garment ends at the hips."""


def label_table(ids, value: int = 255) -> np.ndarray:
    """(256,) uint8 look-up table: ``value`` at ``ids``, 0 elsewhere."""
    table = np.zeros(256, np.uint8)
    table[list(ids)] = value
    return table
