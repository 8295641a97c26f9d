"""What a person sees of a run while it goes on, and what may end it early."""

from __future__ import annotations

import contextlib
import signal
import threading
import time
from collections.abc import Callable, Iterator

from model.training.board import Board
from model.training.config import TrainConfig
from model.training.processes import Processes
from model.training.run_state import Place, RunFolder

GENTLE_SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Reporter:
    """Lines for the person, the same numbers in log.jsonl and on the board. Only the first process
    speaks."""

    def __init__(
        self,
        config: TrainConfig,
        run: RunFolder,
        board: Board,
        processes: Processes,
        note: Callable[[str], None],
    ):
        self.config, self.run, self.board, self.processes = config, run, board, processes
        self.note = note if processes.first else lambda text: None
        self.begun = time.monotonic()
        self.start_epoch(Place())

    def minutes(self) -> float:
        """Since this process began."""
        return round((time.monotonic() - self.begun) / 60, 3)

    def start_epoch(self, place: Place) -> None:
        """Speed is measured from here on."""
        self._since, self._seen = time.monotonic(), place.seen

    def step(self, place: Place, steps_per_epoch: int, rate: float) -> None:
        """A line every ``log_steps`` steps: means over the epoch so far."""
        if place.step % self.config.log_steps:
            return
        means = {name: value / max(place.seen, 1) for name, value in place.sums.items()}
        self.run.log(
            event="step",
            epoch=place.epoch + 1,
            step=place.step,
            rate=rate,
            minutes=self.minutes(),
            **{"loss" if name == "total" else name: value for name, value in means.items()},
        )
        self.board.step(place.step, means["total"], rate)
        everyone = self.processes.count
        speed = (place.seen - self._seen) * everyone / max(time.monotonic() - self._since, 1e-9)
        left = (self.config.epochs - place.epoch) * steps_per_epoch - place.update
        seconds = (
            left * self.config.batch_size * self.config.accumulate * everyone / max(speed, 1e-9)
        )
        self.note(
            f"epoch {place.epoch + 1}/{self.config.epochs}  step {place.update}/{steps_per_epoch}  "
            f"loss {means['total']:.4f}  rate {rate:.1e}  {speed:.1f} people/s  {_clock(seconds)} "
            f"left"
        )

    def epoch(self, entry: dict) -> None:
        """The figures of a validation."""
        self.run.log(**entry, minutes=self.minutes())
        self.board.epoch(entry, self.run.path)
        figures = "  ".join(
            f"{name} {entry[name]:.4f}"
            for name in ("loss", "l1_inside", "ssim_inside", "gap")
            if name in entry
        )
        if figures:
            self.note(f"epoch {entry['epoch']:g}, held-out people: {figures}")

    def warn(self, place: Place, text: str, passing: bool = False) -> None:
        """Says and logs that something looks wrong; ``passing`` entries are forgotten by a resumed
        run."""
        self.run.log(
            event="warning",
            epoch=place.epoch + 1,
            step=place.step,
            text=text,
            **({"passing": True} if passing else {}),
        )
        self.note("Warning: " + text)


class Stop:
    """Whether and why a run has to end before its last epoch. ``reason`` is None while it may go
    on."""

    def __init__(self, max_minutes: float, processes: Processes):
        self.max_minutes, self.processes = max_minutes, processes
        self.begun = time.monotonic()
        self.reason: str | None = None

    def now(self) -> bool:
        """True, in every process at once, if time is over or a process was told to end."""
        if self.max_minutes and time.monotonic() - self.begun >= 60 * self.max_minutes:
            self.reason = self.reason or f"{self.max_minutes:g} minutes are over"
        if self.processes.any(self.reason is not None):
            self.reason = self.reason or "another process was told to end"
        return self.reason is not None

    @contextlib.contextmanager
    def on_signals(self) -> Iterator[None]:
        """Inside, Ctrl-C and SIGTERM end the run after the step that is being done; a second one
        ends it at once."""

        def told(number, _frame):
            if self.reason:
                raise KeyboardInterrupt
            self.reason = f"{signal.Signals(number).name} received"

        main = (
            threading.current_thread() is threading.main_thread()
        )  # elsewhere Python takes no signals
        before = {number: signal.signal(number, told) for number in GENTLE_SIGNALS} if main else {}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)


def _clock(seconds: float) -> str:
    hours, rest = divmod(round(seconds), 3600)
    return f"{hours}:{rest // 60:02d}:{rest % 60:02d}"
