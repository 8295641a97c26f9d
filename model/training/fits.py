"""What fits a device: real steps of a run, of more and more pairs, until the memory is full."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from model.data.sampler import BatchSampler
from model.network.devices import full_memory_told
from model.training.banner import gigabytes, memory
from model.training.processes import Processes
from model.training.run_state import RunFolder
from model.training.setup import Data, Setting
from model.training.trainer import Trainer
from pipeline.base.errors import DataError

BATCHES = (1, 2, 4, 8, 16, 32, 64)
STEPS = 3
"""Steps of each batch; the optimiser's memory is there from the second on, so the last is timed."""
FULL = "out of memory"
SPARE = 0.1
"""Part of a card that is left alone: looks at held-out people and fragments take theirs."""


@dataclass(frozen=True)
class Fit:
    """Steps of so many pairs.

    Attributes:
        batch: pairs a step.
        seconds: of one step; NaN where the memory did not suffice.
        peak: bytes at the most: allocated on a card, of the process on a CPU, where it never falls.
        total: bytes of the card, or of the machine.
    """

    batch: int
    seconds: float
    peak: int
    total: int

    @property
    def fits(self) -> bool:
        """With ``SPARE`` left."""
        return self.seconds == self.seconds and self.peak <= (1 - SPARE) * self.total

    def __str__(self) -> str:
        if self.seconds != self.seconds:
            return f"batch {self.batch}: more than the {gigabytes(self.total)} that are there"
        speed = f"{self.batch / self.seconds:.3g} people/s, {self.seconds:.3g} s a step"
        return f"batch {self.batch}: {gigabytes(self.peak)} of {gigabytes(self.total)}, {speed}"


def what_fits(
    setting: Setting, data: Data, processes: Processes, batches: Sequence[int] = BATCHES
) -> Iterator[Fit]:
    """Trains some steps of 1, 2, 4, ... pairs, as the run would, and tells time and memory of each.

    Ends with the first that does not fit, or where there are no more pairs. The weights of the
    setting's network move; nothing is written.
    """
    with tempfile.TemporaryDirectory(prefix="fit_") as place:
        for batch in batches:
            if batch > len(data.train):
                return
            found = _try(setting, data, processes, batch, Path(place))
            yield found
            if not found.fits:
                return


def _try(setting: Setting, data: Data, processes: Processes, batch: int, place: Path) -> Fit:
    device = processes.device
    config = replace(setting.config, batch_size=batch, accumulate=1, tensorboard=False, wandb=False)
    trainer = Trainer(
        replace(setting, config=config), data, RunFolder(place), processes, note=lambda _: None
    )
    if device.type == "cuda":
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats(device)
    try:
        with full_memory_told("", ""):
            seconds = _steps(trainer, device)
    except DataError as error:
        if not error.found.startswith(FULL):  # a broken shard is no full memory
            raise
        seconds = float("nan")
    return Fit(batch, seconds, *memory(device))


def _steps(trainer: Trainer, device: torch.device) -> float:
    """Seconds of the last of some steps."""
    updates = [trainer.first_update()] * STEPS
    seconds = 0.0
    with closing(iter(trainer.loader(BatchSampler(updates, 0)))) as batches:
        for update in updates:
            begun = time.monotonic()
            trainer.update(update, batches)
            if device.type == "cuda":
                torch.cuda.synchronize(device)
            seconds = time.monotonic() - begun
    return seconds


def advice(found: list[Fit], setting: Setting) -> str:
    """What to take, in a sentence."""
    fitting = [fit for fit in found if fit.fits]
    if not fitting:
        small = "shards of a smaller size"
        half = "--precision bf16, or " if setting.autocast is None else ""
        return f"Nothing fits: take {half}{small}."
    best = max(fitting, key=lambda fit: fit.batch / fit.seconds)
    largest = fitting[-1].batch
    fastest = f"batch {best.batch} trains the most people a second: --batch-size {best.batch}."
    return f"In {setting.precision}, batch {largest} fits; {fastest}"
