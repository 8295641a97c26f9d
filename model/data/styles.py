"""Which mask style a sample gets, in which epoch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

MIX, ARROW = "mix", ">"


@dataclass(frozen=True)
class StylePlan:
    """The mask styles of a training.

    Args:
        styles: one, several at random ("mix"), or the two of a change.
        epochs: of the change from the first style to the second; 0 where there is none.
    """

    styles: tuple[str, ...]
    epochs: int = 0

    @classmethod
    def of(cls, wanted: str, held: Sequence[str], epochs: int) -> StylePlan:
        """The plan of ``standard``, of ``mix``, or of ``daflow>standard``: from one to the other.

        Args:
            held: styles that the shards hold.
            epochs: that a change takes.

        Raises:
            KeyError: a style that they do not hold.
        """
        if wanted == MIX and held:
            return cls(tuple(held))
        names = tuple(name.strip() for name in wanted.split(ARROW))
        if len(names) > 2 or (missing := [name for name in names if name not in held]):
            raise KeyError(missing[0] if len(names) <= 2 else wanted)
        return cls(names, epochs if len(names) == 2 else 0)

    @property
    def final(self) -> str:
        """The style that the network is for: to validate with, to draw and to dress people."""
        return self.styles[-1] if self.epochs else self.styles[0]

    def style(self, epoch: int, chance: float) -> str:
        """The style of one sample.

        Over the epochs of a change ever more samples get the second style: with three epochs a
        quarter in the first, half, three quarters, then all.

        Args:
            chance: the sample's own random number in [0, 1).
        """
        if self.epochs:
            return self.styles[int(chance < (epoch + 1) / (self.epochs + 1))]
        return self.styles[int(chance * len(self.styles))]


def final_style(wanted: str) -> str:
    """The style that a run of ``--mask-style wanted`` ends with."""
    return wanted.split(ARROW)[-1].strip()
