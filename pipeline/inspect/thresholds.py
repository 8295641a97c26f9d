"""From which value on a mask score deserves a look: the one table behind colours, sorting and
"worst people".

Limits are for single people. They are wider than the goals for the mean of many (docs/masks.md): a
wide coat has a larger ``excess`` than the mean without anything being wrong.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from pipeline.base.labels import Category


@dataclass(frozen=True)
class Limit:
    """How to read one score.

    Attributes:
        title: a short name for tables.
        meaning: one line for people who see it for the first time.
        good: a value up to which nothing is to be done; a tuple gives one for each category. None:
            no judgement.
        bad: a value from which on the mask is not to be trusted. Below ``good`` where high values
            are good.
        percent: whether 0.02 reads better as 2 %.
    """

    title: str
    meaning: str
    good: float | tuple[float, float, float] | None = None
    bad: float | tuple[float, float, float] | None = None
    percent: bool = False

    def bounds(self, category: Category) -> tuple[float, float] | None:
        """(good, bad) for a category; None where the score is not judged."""
        if self.good is None or self.bad is None:
            return None
        pick = lambda value: float(value[category.index] if isinstance(value, tuple) else value)
        return pick(self.good), pick(self.bad)


LIMITS: dict[str, Limit] = {
    "iou": Limit("IoU", "overlap of the two masks that are compared: 1 = equal"),
    "stored": Limit(
        "as dataset",
        "overlap of the shard's mask with the one the dataset gives now: 1 = equal",
        0.99999,
        0.95,
    ),
    "leak": Limit("leak", "share of the garment that stays visible", 0.0005, 0.01, True),
    "ring": Limit(
        "ring", "share of a thin ring around the garment that stays visible", 0.02, 0.15, True
    ),
    "id": Limit(
        "identity kept",
        "share of face, hair, hands, shoes, bag and other clothes that stays visible",
        0.99,
        0.95,
        True,
    ),
    "id_min": Limit("worst part", "the same for the worst of these parts", 0.95, 0.60, True),
    "excess": Limit(
        "excess",
        "hidden background and identity, relative to the garment's area",
        (1.0, 2.0, 1.2),
        (3.0, 5.0, 3.0),
    ),
    "spill": Limit(
        "spill",
        "hidden background and identity, in square body units",
        (1.5, 3.5, 4.0),
        (4.0, 8.0, 9.0),
    ),
    "hug": Limit(
        "hug",
        "share of the mask's outline that follows the garment's at one distance: "
        "it tells the shape",
        0.75,
        1.25,
        True,
    ),  # a skirt to the ankles fills its mask: never bad by itself
    "cf": Limit(
        "shape told",
        "how much the mask changes when the same body wears another garment",
        0.03,
        0.3,
        True,
    ),
    "room": Limit(
        "no room",
        "share of other people's garments, laid on this body, that would not fit under the mask",
        0.15,
        0.5,
        True,
    ),
    "cov_arm": Limit(
        "arms hidden",
        "share of bare arms hidden, so that sleeves can appear there",
        0.95,
        0.5,
        True,
    ),
    "cov_neck": Limit("neck hidden", "share of the neckline hidden", 0.97, 0.5, True),
    "cov_torso": Limit("torso hidden", "share of the torso hidden", 0.97, 0.8, True),
    "cov_leg": Limit("legs hidden", "share of the legs above the ankles hidden", 0.97, 0.7, True),
    "cov_gap": Limit(
        "gap hidden",
        "share of the gap between the legs hidden, so that trousers can become a skirt",
        0.97,
        0.5,
        True,
    ),
    "cov_pelvis": Limit("pelvis hidden", "share of the pelvis hidden", 0.97, 0.8, True),
    "cov_bone": Limit(
        "leg line hidden", "share of the line hip to knee to ankle hidden", 0.97, 0.7, True
    ),
    "area": Limit("area", "hidden share of the picture", 0.6, 0.85, True),
    "pieces": Limit("pieces", "separate parts of the mask", 4, 14),
    "joints_missing": Limit("joints missing", "of the 18 keypoints", 6, 13),
    "joints_outside": Limit(
        "joints outside", "joints from neck to ankles that lie off the person", 1, 6
    ),
}
"""Score name -> how to read it, in the order of tables. Scores without a row here are shown and not
judged."""


COSTLY = ("cf", "room")
"""Scores that cost as much as several masks: computed where they are asked for."""
_PARTS = ("hair", "hat", "shoes", "bag", "face", "hands", "other", "arms", "legs")


def all_score_names() -> list[str]:
    """Every name that a score can have, whoever is scored."""
    return [*LIMITS, *(f"id_{part}" for part in _PARTS)]


def limit_of(name: str) -> Limit:
    """The row of a score; a plain one, without judgement, for scores that the table does not
    know."""
    if name not in LIMITS and name.startswith(
        "id_"
    ):  # the parts behind id_min, which is judged for all of them
        part = name.removeprefix("id_").replace("other", "other clothes")
        return Limit(f"{part} kept", f"visible share of the {part}", percent=True)
    return LIMITS.get(name) or Limit(name.replace("_", " "), "")


def higher_is_better(name: str) -> bool | None:
    """True, False, or None where the score is not judged."""
    bounds = limit_of(name).bounds(Category.UPPER_BODY)
    return None if bounds is None else bounds[0] > bounds[1]


def concern(name: str, value: float, category: Category) -> float:
    """0 up to the good limit, 1 at the bad one, at most 2; 0 for a value that is NaN or not
    judged."""
    bounds = limit_of(name).bounds(category)
    if bounds is None or math.isnan(value):
        return 0.0
    good, bad = bounds
    return min(2.0, max(0.0, (value - good) / (bad - good)))


def trouble(scores: Mapping[str, float], category: Category) -> float:
    """One number for sorting: the concerns of all scores together; 0 = nothing to look at."""
    return round(sum(concern(name, value, category) for name, value in scores.items()), 3)


def tell(name: str, value: float) -> str:
    """A score as text: ``0.42 %``, ``1.22``, ``3``, or a dash for NaN."""
    if math.isnan(value):
        return "–"
    if limit_of(name).percent:
        shown = f"{100 * value:.1f}" if abs(value) >= 0.0995 else f"{100 * value:.2f}"
        if 0 < value < 0.00005:
            shown = "<0.01"
        if 0.9995 <= value < 1 and shown == "100.0":
            shown = "99.9"
        return f"{shown.removesuffix('.00').removesuffix('.0')} %"
    return str(int(value)) if float(value).is_integer() else f"{value:.3f}"
