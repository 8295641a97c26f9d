"""What a person sees of a run while it goes on, and what may end it early."""

from __future__ import annotations

import contextlib
import math
import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from model.data.loading import GROUP_SIGNALS
from model.training.banner import clock
from model.training.board import Board
from model.training.config import TrainConfig
from model.training.processes import Processes
from model.training.run_state import Place, RunFolder

ONE_REQUEST = 1.0  # seconds
Bar = Callable[[int, int, str], None]


class Reporter:
    """Lines for the person, the same numbers in log.jsonl and on the boards. Only the first process
    speaks.

    Args:
        note: takes a line.
        bar: ``bar(done, total, text)`` shows how far the run is, in place; None where there is no
            terminal: then a line every ``log_steps`` steps says so.
    """

    def __init__(
        self,
        config: TrainConfig,
        run: RunFolder,
        boards: Sequence[Board],
        processes: Processes,
        note: Callable[[str], None],
        bar: Bar | None = None,
    ):
        self.config, self.run, self.boards, self.processes = config, run, boards, processes
        self._note = note if processes.first else lambda text: None
        self._bar = bar if processes.first else None
        self.begun = time.monotonic()
        self.start_epoch(Place())

    def note(self, text: str) -> None:
        """One line; where nobody takes it any more (the end of a pipe was told to end first), the
        run goes on without."""
        try:
            self._note(text)
        except OSError:
            self._note = lambda text: None

    def show(self, done: int, total: int, text: str) -> None:
        """Moves the bar, where there is one."""
        if self._bar:
            self._bar(done, total, text)

    def minutes(self) -> float:
        """Since this process began."""
        return round((time.monotonic() - self.begun) / 60, 3)

    def start_epoch(self, place: Place) -> None:
        """Speed is measured from here on."""
        self._since, self._seen = time.monotonic(), place.seen

    def step(self, place: Place, steps_per_epoch: int, rate: float) -> None:
        """A line every ``log_steps`` steps: means over the epoch so far. The bar moves at each."""
        due = place.step % self.config.log_steps == 0
        if not due and not self._bar:
            return
        means = {name: value / max(place.seen, 1) for name, value in place.sums.items()}
        means.setdefault("total", math.nan)  # every step was left out
        if due:
            named = {"loss" if n == "total" else n: value for n, value in means.items()}
            self.run.log(
                event="step",
                epoch=place.epoch + 1,
                step=place.step,
                rate=rate,
                minutes=self.minutes(),
                **named,
            )
            for board in self.boards:
                board.step(place.step, means["total"], rate)
        speed, left = self._speed(place, steps_per_epoch)
        told = f"loss {means['total']:.4f}  rate {rate:.1e}  {speed:.1f} people/s  {left} left"
        epoch = f"epoch {place.epoch + 1}/{self.config.epochs}"
        self.show(place.update, steps_per_epoch, f"{epoch}  {told}")
        if due and not self._bar:
            self.note(f"{epoch}  step {place.update}/{steps_per_epoch}  {told}")

    def _speed(self, place: Place, steps_per_epoch: int) -> tuple[float, str]:
        """People a second since the epoch began here, in all processes; and the time that the steps
        to come will take."""
        everyone = self.processes.count
        speed = (place.seen - self._seen) * everyone / max(time.monotonic() - self._since, 1e-9)
        steps = (self.config.epochs - place.epoch) * steps_per_epoch - place.update
        people = steps * self.config.batch_size * self.config.accumulate * everyone
        return speed, clock(people / max(speed, 1e-9)) if speed else "-:--:--"

    def epoch(self, entry: dict[str, Any]) -> None:
        """The figures of a validation."""
        self.run.log(**entry, minutes=self.minutes())
        for board in self.boards:
            board.epoch(entry, self.run.path)
        figures = "  ".join(
            f"{name} {entry[name]:.4f}"
            for name in ("loss", "likeness_inside", "l1_inside", "ssim_inside", "gap")
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


class Ended(KeyboardInterrupt):
    """A run that was told to end where nothing could be saved any more, or at once.

    Args:
        signal: the signal that said so.
        text: a sentence for the person.
    """

    def __init__(self, signal: signal.Signals, text: str):
        super().__init__(signal, text)
        self.signal, self.text = signal, text


class LookEnded(Exception):
    """A look at the network was broken off: the run has to end."""


class Stop:
    """Whether and why a run has to end before its last epoch. ``reason`` is None while it may go
    on.

    Args:
        max_minutes: for all that the process does; 0 for no limit.
        begun: ``time.monotonic()`` when it began.
    """

    def __init__(self, max_minutes: float, processes: Processes, begun: float | None = None):
        self.max_minutes, self.processes = max_minutes, processes
        self.begun = time.monotonic() if begun is None else begun
        self.reason: str | None = None
        self.signal: signal.Signals | None = None
        self.decided = False  # True, in every process, once ``now`` has said so
        self.gentle = False  # True once a signal is waited for, rather than ending all at once
        self._told_at = 0.0

    def seconds_left(self) -> float:
        """Of the time limit; infinity without one."""
        spent = time.monotonic() - self.begun
        return 60 * self.max_minutes - spent if self.max_minutes else math.inf

    def now(self, needed: float = 0.0) -> bool:
        """True, in every process at once, if a process was told to end or has less than ``needed``
        seconds left."""
        if self.seconds_left() <= needed:
            self.reason = self.reason or f"{self.max_minutes:g} minutes are over"
        if self.processes.any(self.reason is not None):
            self.reason, self.decided = self.reason or "another process was told to end", True
        return self.decided

    def because(self, reason: str) -> None:
        """Ends the run for a reason that all processes have."""
        self.reason, self.decided = reason, True

    def over(self) -> bool:
        """True, in every process at once, if the time limit has come."""
        return self.processes.any(self.seconds_left() <= 0)

    @contextlib.contextmanager
    def on_signals(self) -> Iterator[None]:
        """Inside, Ctrl-C, SIGTERM and a closed terminal end the run.

        Where ``gentle`` is set, after the step that is being done; a second signal, or one before
        that, raises Ended at once. Signals within ``ONE_REQUEST`` seconds of the first are the same
        request: ``timeout`` and torchrun tell the process and its group.
        """

        def told(number, _frame):
            named, now = signal.Signals(number), time.monotonic()
            if self.signal is None:
                self.signal, self._told_at = named, now
                self.reason = self.reason or f"{named.name} received"
                if self.gentle:
                    return
            elif now - self._told_at < ONE_REQUEST:
                return
            raise Ended(named, f"Ended at once by {named.name}.")

        main = (
            threading.current_thread() is threading.main_thread()
        )  # elsewhere Python takes no signals
        before = {number: signal.signal(number, told) for number in _taken()} if main else {}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)


def _taken() -> list[signal.Signals]:
    """Signals to act on: nohup's hangup stays ignored."""
    ignored = signal.getsignal(signal.SIGHUP) == signal.SIG_IGN
    return [number for number in GROUP_SIGNALS if not (ignored and number == signal.SIGHUP)]
