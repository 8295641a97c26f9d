"""Batches of a dataset as float tensors on a device, made by worker processes without handing
pictures over.

To hand a picture to another process costs more than to make it: new shared memory for each, and a
    page fault for every
4 KB of it on both sides. So the workers write into a ring of slots in shared memory that the loader
makes once, and only a slot's number travels.
"""

from __future__ import annotations

import contextlib
import gc
import os
import signal
import threading
import weakref
from collections.abc import Generator, Iterable, Iterator, Sequence
from typing import Any

import cv2
import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset

from model.data.dataset import TryOnDataset
from model.data.packing import widen
from pipeline.base.errors import DataError

AHEAD = 2  # batches that each worker makes before they are asked for
KEPT_ARRAYS = 3
# bytes: into memory aligned to 32 libjpeg-turbo writes past the cache, and what reads it next has
# to wait
ASIDE = 16
GROUP_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)

Key = int | tuple[int, int]
Request = tuple[int, Sequence[Key]]


class Loader:
    """The batches of a dataset, in order; to be iterated any number of times. The same for any
    number of workers.

    A batch stays as it is for as long as it is held. Memory: the ring holds ``AHEAD`` batches a
    worker and one more, at ten bytes a pixel; what is killed leaves none of it behind.

    Args:
        dataset: what to load from.
        batches: the keys of each batch: rows, or (epoch, row).
        device: where the tensors are to be.
        workers: processes that make samples; 0 makes them in this one.
    """

    def __init__(
        self,
        dataset: TryOnDataset,
        batches: Sequence[Sequence[Key]],
        device: torch.device | str = "cpu",
        workers: int = 0,
    ):
        self.dataset, self.batches, self.device, self.workers = dataset, batches, device, workers
        self._arrays = Arrays()

    def __len__(self) -> int:
        return len(self.batches)

    def __iter__(self) -> Generator[dict[str, Any], None, None]:
        """Each a ``model.dataset.Batch``."""
        for samples, rows in self.packed():
            categories = torch.tensor([self.dataset.rows[row].category.index for row in rows])
            # without a name for the pictures here: what the caller drops is free for the next batch
            yield widen(samples, self.dataset.size_hw, self.device, self._arrays.lend) | {
                "category": categories,
                "index": torch.tensor(rows),
            }

    def packed(self) -> Iterator[tuple[torch.Tensor, list[int]]]:
        """(B, 10 * H * W) uint8 of each batch and its rows; the bytes are overwritten after the
        next is taken."""
        batches = list(self.batches)
        if not batches:
            return
        # A worker is told of the batch that comes AHEAD * workers after this one when this one is
        # taken: with one slot more than that, the batch in use is not written to.
        count = min(AHEAD * self.workers + 1, len(batches))
        shape = (max(map(len, batches)), self.dataset.packed_bytes)
        ring = [_slot(shape, shared=self.workers > 0) for _ in range(count)]
        order = [(number % count, keys) for number, keys in enumerate(batches)]
        for answer in self._answers(_Slots(self.dataset, ring), order):
            if isinstance(answer, DataError):
                raise answer
            at, keys = answer
            yield ring[at][: len(keys)], [key[1] if isinstance(key, tuple) else key for key in keys]

    def _answers(self, slots: _Slots, order: Sequence[Request]) -> Iterable[Request | DataError]:
        if not self.workers:
            return map(slots.__getitems__, order)
        filled: Dataset[Any] = slots
        loader = DataLoader(
            filled,
            batch_sampler=order,  # type: ignore[arg-type]
            num_workers=self.workers,
            prefetch_factor=AHEAD,
            collate_fn=_as_it_is,
            worker_init_fn=_begin,
            generator=torch.Generator(),  # leaves the run's alone
        )
        return _from_workers(loader)


def _from_workers(loader: DataLoader[Any]) -> Iterator[Any]:
    """What the workers answer.

    A signal to the whole group (Ctrl-C, timeout, SLURM, systemd) is for the process that started
    them: it says when they end.

    Raises:
        DataError: a worker is gone.
    """
    with _signals_held_back(), _no_opencv_threads():  # workers inherit both
        answers = iter(loader)
    try:
        yield from answers
    except RuntimeError as error:
        if "DataLoader worker" not in str(error):
            raise
        raise DataError(
            "loader process",
            " ".join(str(error).split())[:160],
            "",
            "Often memory is short: go on with fewer --workers, or with --workers 0",
        ) from error


@contextlib.contextmanager
def _no_opencv_threads() -> Iterator[None]:
    """OpenCV's threads do not come along into a forked process, but what waits for them does: a
    worker that then sets their number would wait for ever."""
    before = cv2.getNumThreads()
    cv2.setNumThreads(1)
    try:
        yield
    finally:
        cv2.setNumThreads(before)


@contextlib.contextmanager
def _signals_held_back() -> Iterator[None]:
    before = signal.pthread_sigmask(signal.SIG_BLOCK, GROUP_SIGNALS)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def in_batches(rows: Sequence[int], size: int) -> list[list[int]]:
    """The rows in their order, ``size`` at a time; the last batch may be smaller."""
    return [list(rows[start : start + size]) for start in range(0, len(rows), size)]


def _slot(shape: tuple[int, int], shared: bool) -> torch.Tensor:
    memory = torch.empty(shape[0] * shape[1] + ASIDE, dtype=torch.uint8)
    return (memory.share_memory_() if shared else memory)[ASIDE:].view(shape)


class _Slots(Dataset[Any]):
    """Fills a slot of the ring with the samples of a batch, and gives back what it was asked for.

    A damaged shard is given back too: raised here, it would reach the loader as a text with a
        traceback.
    """

    def __init__(self, dataset: TryOnDataset, ring: list[torch.Tensor]):
        self.dataset, self.ring = dataset, ring

    def __getitems__(self, request: Request) -> Request | DataError:
        slot, keys = request
        try:
            for key, sample in zip(keys, self.ring[slot].numpy()):
                self.dataset.fill(key, sample)
        except DataError as error:
            return error
        return request


class Arrays:
    """Float32 arrays that are lent again once no tensor looks at them: new memory costs more than
    to fill it."""

    def __init__(self) -> None:
        self._known: list[tuple[np.ndarray, weakref.ref[Any]]] = []

    def lend(self, shape: tuple[int, ...]) -> np.ndarray:
        """An array of this shape, its content undefined, that nobody else holds."""
        free = [
            at
            for at, (array, user) in enumerate(self._known)
            if user() is None and array.shape == shape
        ]
        array = self._known.pop(free[-1])[0] if free else np.empty(shape, np.float32)
        view = (
            array.view()
        )  # lives as long as any tensor, numpy array or gradient that was made of it
        self._known = [*self._known, (array, weakref.ref(view))][-KEPT_ARRAYS:]
        return view


def _as_it_is(answer: Any) -> Any:
    return answer


def _begin(_worker: int) -> None:
    threading.Thread(target=_end_when_told_by_parent, daemon=True).start()
    cv2.setNumThreads(1)  # torch sets its own
    gc.freeze()  # to look through what was inherited would copy it


def _end_when_told_by_parent() -> None:
    """Ends this worker at its parent's SIGTERM, and at nobody else's."""
    parent = os.getppid()
    while signal.sigwaitinfo(GROUP_SIGNALS).si_pid != parent:
        pass
    os._exit(0)
