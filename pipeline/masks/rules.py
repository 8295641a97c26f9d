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
class Rule:
    """What one style hides for one category. Lengths are in body units; the empty tuple stands for
    "none".

    Attributes:
        garment: labels that are always hidden.
        keep: labels that are never hidden.
        keep_skin: of "face", "hands" and "feet", those that are never hidden although their label
            is skin.
        skin: labels of skin that the garment may cover: grown like the garment.
        also: labels that may be part of the garment under another name: grown like it, but only on
            the garment's side of the hips (above for upper clothes, below for trousers).
        keep_parts: DensePose parts that are never hidden; used where there is no label map.
        parts: DensePose parts that belong to the region.
        part_margin: how far they are grown.
        trunk_end: length below the hips at which those of the trunk end.
        arms: radius at shoulder, elbow and wrist.
        trunk: margin outside shoulders, waist and hips, and length of the hem below the hips.
        legs: margin outside the waist, and outside the joints of hips, knees and ankles.
        sway: margin outside the legs and the skirt, at the hips and at the ankles.
        flare: half the width that a skirt may have at its widest; how much it is taken to widen
            below the thigh, as a share of how it widens above; and where it is widest, between hips
            (0) and ankles (1).
        ample: from how far beside the bones of the thighs the garment makes room for a skirt wider
            than usual; how much half its width gains for each length beyond; and what it is at
            most. Empty where it never does.
        grow: how far garment and skin are grown at the neck, and at the wrists of hanging arms.
        grow_skin: whether skin is grown as far as garment, or just a few pixels.
    """

    garment: tuple[int, ...] = ()
    keep: tuple[int, ...] = ()
    keep_skin: tuple[str, ...] = ()
    skin: tuple[int, ...] = ()
    also: tuple[int, ...] = ()
    keep_parts: tuple[int, ...] = ()
    parts: tuple[int, ...] = ()
    part_margin: float = 0.03
    trunk_end: float = 9.0
    arms: tuple[float, ...] = ()
    trunk: tuple[float, ...] = ()
    legs: tuple[float, ...] = ()
    sway: tuple[float, float] = (0.05, 0.12)
    flare: tuple[float, float, float] = (0.60, 0.45, 0.70)
    ample: tuple[float, ...] = ()
    grow: tuple[float, float] = (0.03, 0.20)
    grow_skin: bool = True

    def __post_init__(self):
        for name, count in (
            ("arms", 3),
            ("trunk", 4),
            ("legs", 4),
            ("sway", 2),
            ("flare", 3),
            ("ample", 3),
            ("grow", 2),
        ):
            if len(getattr(self, name)) not in (0, count):
                raise ValueError(
                    f"Rule.{name} takes {count} lengths, not {len(getattr(self, name))}."
                )
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
    keep_parts=HAND_PARTS + FOOT_PARTS + HEAD_PARTS,
    parts=TRUNK_PARTS + ARM_PARTS,
    arms=(0.13, 0.14, 0.17),
    trunk=(0.06, 0.08, 0.18, 0.15),
    grow=(0.03, 0.20),
    grow_skin=False,
)
_LOWER = Rule(
    garment=BOTTOMS,
    keep=(*HAIR_AND_HAT, Atr.HEAD, Atr.UPPER_CLOTHES, *ARMS, *SHOES, Atr.BAG),
    keep_skin=("feet",),
    skin=LEGS,
    also=(Atr.DRESS, Atr.BELT),
    keep_parts=HAND_PARTS + FOOT_PARTS + HEAD_PARTS + ARM_PARTS,
    parts=LEG_PARTS,
    legs=(0.00, 0.06, 0.30, 0.25),
    sway=(0.14, 0.02),
    flare=(0.95, 0.13, 0.45),
    ample=(0.33, 3.0, 1.50),
    grow=(0.03, 0.10),
)
_DRESSES = Rule(
    garment=(Atr.DRESS, Atr.UPPER_CLOTHES, *BOTTOMS),
    keep=(*HAIR_AND_HAT, *SHOES, Atr.BAG),
    keep_skin=("face", "hands", "feet"),
    skin=(*ARMS, *LEGS, Atr.HEAD),
    also=(Atr.SCARF, Atr.BELT),
    keep_parts=HAND_PARTS + FOOT_PARTS + HEAD_PARTS,
    parts=TRUNK_PARTS + ARM_PARTS + LEG_PARTS,
    arms=(0.14, 0.15, 0.18),
    trunk=(0.06, 0.06, 0.20, 0.15),
    legs=(0.04, 0.45, 0.40, 0.20),
    sway=(0.03, 0.02),
    flare=(1.24, 0.08, 0.65),
    grow=(0.04, 0.18),
)


def _bare(rule: Rule) -> Rule:
    """Nothing but the garment itself."""
    return replace(rule, skin=(), also=(), parts=(), arms=(), trunk=(), legs=())


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
        arms=(0.22, 0.28, 0.38),
    ),
    (Category.LOWER_BODY, "recipe"): replace(
        _LOWER, keep=(), keep_skin=(), also=(), keep_parts=(), grow=(0.08, 0.08)
    ),
    (Category.DRESSES, "recipe"): replace(
        _DRESSES,
        keep=(),
        keep_skin=(),
        skin=(*ARMS, *LEGS),
        also=(),
        keep_parts=(),
        part_margin=0.08,
        arms=(0.20, 0.22, 0.26),
        grow=(0.10, 0.10),
    ),
    (Category.UPPER_BODY, "tight"): replace(_bare(_UPPER), also=(Atr.DRESS,), grow=(0.06, 0.06)),
    (Category.LOWER_BODY, "tight"): replace(_bare(_LOWER), also=(Atr.DRESS,), grow=(0.06, 0.06)),
    (Category.DRESSES, "tight"): replace(_bare(_DRESSES), grow=(0.06, 0.06)),
    (Category.UPPER_BODY, "loose"): replace(
        _UPPER, arms=(0.26, 0.34, 0.48), trunk=(0.20, 0.30, 0.60, 0.60), grow=(0.06, 0.36)
    ),
    (Category.LOWER_BODY, "loose"): replace(
        _LOWER,
        legs=(0.12, 0.60, 0.90, 0.60),
        sway=(0.20, 0.25),
        flare=(1.30, 0.60, 0.70),
        ample=(0.33, 3.0, 1.90),
    ),
    (Category.DRESSES, "loose"): replace(
        _DRESSES,
        arms=(0.24, 0.30, 0.42),
        trunk=(0.16, 0.25, 0.50, 0.30),
        legs=(0.12, 0.60, 0.95, 0.60),
        sway=(0.08, 0.25),
        flare=(1.40, 0.60, 0.70),
        grow=(0.06, 0.30),
    ),
}
"""(category, style) -> rule. "standard" is the default; "recipe" trusts no labels to keep anything;
"tight" follows the garment, "loose" tells as little of it as possible."""

UNLABELLED: dict[Category, Rule] = {
    Category.UPPER_BODY: replace(
        _UPPER,
        arms=(0.08, 0.10, 0.14),
        trunk=(0.00, -0.10, 0.10, 0.00),
        part_margin=0.05,
        trunk_end=0.05,
    ),
    Category.LOWER_BODY: replace(
        _LOWER,
        legs=(0.00, 0.16, 0.11, 0.08),
        sway=(0.08, 0.03),
        flare=(0.60, 1.00, 0.56),
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
