"""Which samples an epoch sees, in which order, batch and process: a pure function of seed and
epoch."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class MicroBatch:
    """What one process computes at once.

    Args:
        indices: samples of this process; never empty (a process without work repeats a sample at
            weight 0).
        weight: factor of this process's mean loss, so that the mean over processes of the
            gradients, summed over the micro-batches of an update, is the gradient of the mean over
            all samples of the update.
        last: True if the optimiser steps after it.
    """

    indices: tuple[int, ...]
    weight: float
    last: bool


def epoch_order(
    categories: Sequence[int] | np.ndarray, seed: int, epoch: int, balanced: bool = False
) -> np.ndarray:
    """(n,) int64: positions in ``categories`` in the order of an epoch.

    Without ``balanced`` every sample once. With it the same number of every category, in all about
    as many as there
    are samples: those of a small category come again, of a large one a part, another in each epoch.
    """
    rng = np.random.default_rng((seed, epoch, 0x0DE5))
    categories = np.asarray(categories)
    if not balanced:
        return rng.permutation(len(categories))
    groups = [np.flatnonzero(categories == c) for c in np.unique(categories)]
    share = -(-len(categories) // len(groups))
    chosen = []
    for group in groups:
        rounds = -(-share // len(group))
        chosen.append(np.concatenate([rng.permutation(group) for _ in range(rounds)])[:share])
    return rng.permutation(np.concatenate(chosen))


def chosen_evenly(categories: Sequence[int] | np.ndarray, limit: int) -> np.ndarray:
    """(n,) int64, increasing: at most ``limit`` positions in ``categories``, as many of each
    category as can be.

    A category that has fewer gives them all, and the others more. Those of a category are spread
    over all it has.
    """
    categories = np.asarray(categories)
    groups = sorted((np.flatnonzero(categories == c) for c in np.unique(categories)), key=len)
    chosen: list[int] = []
    for at, group in enumerate(groups):
        share = min(len(group), (limit - len(chosen)) // (len(groups) - at))
        chosen.extend(group[np.arange(share) * len(group) // max(share, 1)])
    return np.sort(np.array(chosen, np.int64))


def plan_epoch(
    order: Sequence[int] | np.ndarray,
    batch_size: int,
    accumulate: int = 1,
    rank: int = 0,
    processes: int = 1,
) -> list[list[MicroBatch]]:
    """The updates of an epoch, each a list of micro-batches of one process.

    An update takes the next ``batch_size * processes * accumulate`` samples, the last one what is
    left, so that every sample is seen exactly once whatever the number of processes.
    """
    wide = batch_size * processes
    updates = []
    for start in range(0, len(order), wide * accumulate):
        samples = [int(i) for i in order[start : start + wide * accumulate]]
        parts = [samples[i : i + wide] for i in range(0, len(samples), wide)]
        updates.append(
            [_micro_batch(part, rank, processes, len(samples), part is parts[-1]) for part in parts]
        )
    return updates


def _micro_batch(
    part: list[int], rank: int, processes: int, in_update: int, last: bool
) -> MicroBatch:
    mine = part[rank * len(part) // processes : (rank + 1) * len(part) // processes]
    weight = len(mine) * processes / in_update
    return MicroBatch(tuple(mine or part[:1]), weight, last)


class BatchSampler:
    """Batch sampler of a DataLoader: the ``(epoch, index)`` keys of every micro-batch from an
    update on."""

    def __init__(self, updates: list[list[MicroBatch]], epoch: int, start: int = 0):
        self.batches = [micro for update in updates[start:] for micro in update]
        self.epoch = epoch

    def __len__(self) -> int:
        return len(self.batches)

    def __iter__(self) -> Iterator[list[tuple[int, int]]]:
        for micro in self.batches:
            yield [(self.epoch, index) for index in micro.indices]
