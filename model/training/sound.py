"""Whether a step and the state after it are sound: finite all over, so that no checkpoint is
spoilt."""

from __future__ import annotations

import math
from collections.abc import Iterable

from torch import Tensor, nn

from model.network.torch_internals import copy_all
from model.training.schedule import batch_norms
from pipeline.base.errors import DataError

LARGEST_NORM = 1e18  # of a gradient: AdamW squares it, in float32
REMEDY = "Lower --lr, set --clip 1, or use --precision fp32"


def sound_norm(norm: float) -> bool:
    """True if a gradient of this norm may move the weights."""
    return math.isfinite(norm) and norm < LARGEST_NORM


def all_finite(values: Iterable[Tensor]) -> bool:
    """True if no floating-point value is NaN or infinite."""
    return all(bool(v.isfinite().all()) for v in values if v.is_floating_point())


class StatisticsKept:
    """Running statistics as they were before a step: one that is left out must not leave NaN in
    them."""

    def __init__(self, network: nn.Module):
        self.live = [buffer for norm in batch_norms(network) for buffer in norm.buffers()]
        self.kept = [buffer.clone() for buffer in self.live]

    def keep(self) -> None:
        """Takes note of them."""
        copy_all(self.kept, self.live)

    def restore(self) -> None:
        """Puts back what was noted."""
        copy_all(self.live, self.kept)


def diverged(run: object, found: str, checkpoint: str | None) -> DataError:
    """The sentence for a run that can't go on.

    Args:
        run: its folder.
        found: what is not finite.
        checkpoint: the newest one that is whole; None where none was written.
    """
    way = (
        f"and start a new run from the last whole checkpoint: --init {checkpoint}"
        if checkpoint
        else "and start again: no checkpoint had been written"
    )
    return DataError(str(run), found, "", f"{REMEDY}, {way}")
