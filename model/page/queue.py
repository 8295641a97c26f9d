"""Work for one device, one piece after the other; what finds no place is refused at once."""

from __future__ import annotations

import math
import threading
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import CancelledError, Future
from typing import Any


class QueueFull(Exception):
    """No place is left; ``retry_after`` is a whole number of seconds after which one should be."""

    def __init__(self, retry_after: int):
        super().__init__(f"busy for about {retry_after} s")
        self.retry_after = retry_after


class Job:
    """A piece of work that waits, runs or is done.

    Attributes:
        future: gives the result, or raises what the work raised.
    """

    def __init__(self, queue: DeviceQueue, work: Callable[[], Any]):
        self.queue, self.work = queue, work
        self.future: Future[Any] = Future()

    @property
    def ahead(self) -> int:
        """Jobs that come first; 0 when it runs or is the next."""
        return self.queue.ahead(self)

    @property
    def running(self) -> bool:
        return self.future.running()

    def cancel(self) -> bool:
        """Gives up the place; a job that runs already is finished."""
        return self.future.cancel()


class DeviceQueue:
    """A thread that works through at most ``capacity`` jobs, waiting ones and the one that runs.

    Args:
        capacity: jobs at a time.
        name: of the thread.
    """

    def __init__(self, capacity: int, name: str = "device"):
        self.capacity, self.done, self.seconds = capacity, 0, 1.0
        self._jobs: deque[Job] = deque()  # the first one runs
        self._changed, self._closed = threading.Condition(), False
        self._thread = threading.Thread(target=self._work, name=name, daemon=True)
        self._thread.start()

    def submit(self, work: Callable[[], Any]) -> Job:
        """Queues work. Raises QueueFull."""
        with self._changed:
            self._drop_cancelled()
            if self._closed or len(self._jobs) >= self.capacity:
                raise QueueFull(self.wait_seconds)
            job = Job(self, work)
            self._jobs.append(job)
            self._changed.notify()
        return job

    @property
    def length(self) -> int:
        """Jobs that wait or run."""
        with self._changed:
            self._drop_cancelled()
            return len(self._jobs)

    @property
    def wait_seconds(self) -> int:
        """How long the jobs here will take about, at least 1."""
        return max(1, math.ceil(self.seconds * len(self._jobs) / 2))

    def ahead(self, job: Job) -> int:
        with self._changed:
            self._drop_cancelled()
            return self._jobs.index(job) if job in self._jobs else 0

    def close(self) -> None:
        """Ends the thread after the running job; waiting ones are cancelled."""
        with self._changed:
            self._closed = True
            for job in self._jobs:
                job.cancel()
            self._changed.notify()
        self._thread.join(30)

    def _drop_cancelled(self) -> None:
        self._jobs = deque(job for job in self._jobs if not job.future.cancelled())

    def _next(self) -> Job | None:
        with self._changed:
            while True:
                self._drop_cancelled()
                if self._jobs:
                    return self._jobs[0]
                if self._closed:
                    return None
                self._changed.wait()

    def _work(self) -> None:
        while (job := self._next()) is not None:
            if not job.future.set_running_or_notify_cancel():
                continue
            began = time.monotonic()
            try:
                result, error = job.work(), None
            except BaseException as raised:  # handed to whoever waits
                result, error = None, raised
            took = time.monotonic() - began
            with self._changed:  # the place is free before the waiting one hears of it
                if job in self._jobs:
                    self._jobs.remove(job)
                self.done, self.seconds = self.done + 1, 0.7 * self.seconds + 0.3 * took
            if error is None:
                job.future.set_result(result)
            else:
                job.future.set_exception(error)
            job.work = _nothing  # what it held (pictures) goes now, not with the next job
            del job, result, error


def _nothing() -> None:
    raise CancelledError
