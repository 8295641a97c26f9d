"""One person as a labelled picture, and the names of its labels."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from pipeline.base.labels import Atr
from pipeline.dataset.identity import Identity

CLASS_NAMES = {int(label): label.name.lower().replace("_", " ") for label in Atr}
"""Class of the label map -> its name in the tools; 0, ``background``, is there to paint with."""


def hidden_name(style: str) -> str:
    """The label of a mask, such as ``hidden (standard)``."""
    return f"hidden ({style})"


def hidden_style(label: str) -> str | None:
    """The style of a mask's label; None for any other."""
    inside = label.strip().removeprefix("hidden (")
    return inside.removesuffix(")") if inside != label.strip() and inside.endswith(")") else None


@dataclass(frozen=True)
class LabelledPicture:
    """What a tool shows of one person.

    Attributes:
        who: the names.
        style: of the mask.
        photo: (H, W, 3) uint8 RGB.
        mask: (H, W) bool, True = hidden.
        label_map: (H, W) uint8 of ``labels.Atr``, or None.
    """

    who: Identity
    style: str
    photo: np.ndarray
    mask: np.ndarray
    label_map: np.ndarray | None

    @property
    def name(self) -> str:
        """A file name without suffix that tells the person, such as ``dresses-020714``."""
        return f"{self.who.category}-{self.who.person_id}"

    @property
    def regions(self) -> list[tuple[str, np.ndarray]]:
        """(label, (H, W) bool) of all that is drawn: classes first, the mask above them."""
        found = []
        for number, name in CLASS_NAMES.items():
            if number and self.label_map is not None and (self.label_map == number).any():
                found.append((name, self.label_map == number))
        if self.mask.any():
            found.append((hidden_name(self.style), self.mask))
        return found


def label_colours(style: str) -> dict[str, str]:
    """Label -> ``#rrggbb``, in the order in which tools list them; the mask first."""
    names = [hidden_name(style), *CLASS_NAMES.values()]
    return {name: _colour(number) for number, name in enumerate(names)}


def _colour(number: int) -> str:
    """Colours far from each other: red for the mask, the others round the circle of hues."""
    import colorsys

    hue = number * 0.381966 % 1  # the golden angle
    red, green, blue = (round(255 * v) for v in colorsys.hsv_to_rgb(hue, 0.75, 0.9))
    return f"#{red:02x}{green:02x}{blue:02x}"
