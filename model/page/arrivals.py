"""Bodies on their way here: how many, how fast, and how many bytes are held at once."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Any

GRACE_S, LEAST_RATE = 10.0, 50_000
"""A body has to be here after this many seconds and one more for each so many bytes."""
SAFE_S = 1.0
"""A body that came within this time never makes room for another."""


class Refused(Exception):
    """A body that is not taken further; ``kind`` is ``late``, ``crowded`` or ``memory``."""

    def __init__(self, kind: str):
        super().__init__(kind)
        self.kind = kind


class Arrivals:
    """What a page holds of its callers' bodies.

    Args:
        most: bodies that arrive at a time. One more takes the place of the slowest.
        budget: bytes held at once, of bodies that arrive and of those that wait for their answer.
    """

    def __init__(self, most: int, budget: int):
        self.most, self.budget, self.held = most, budget, 0
        self._arriving: list[Arrival] = []

    async def begin(self, receive: Callable[[], Awaitable[dict[str, Any]]]) -> Arrival:
        """A body's way here. Raises Refused where none of the others makes room in time."""
        until = time.monotonic() + 2 * SAFE_S
        while len(self._arriving) >= self.most and not self._make_room():
            if time.monotonic() > until:
                raise Refused("crowded")
            await asyncio.sleep(SAFE_S / 10)
        arrival = Arrival(self, receive)
        self._arriving.append(arrival)
        return arrival

    def _make_room(self) -> bool:
        now = time.monotonic()
        old = [other for other in self._arriving if now - other.began > SAFE_S]
        if old:
            min(old, key=lambda other: other.bytes / (now - other.began)).give_up()
        return bool(old)

    def arrived(self, arrival: Arrival) -> None:
        if arrival in self._arriving:
            self._arriving.remove(arrival)


class Arrival:
    """One body: ``receive`` as ASGI has it, until all is here, then without a deadline."""

    def __init__(self, arrivals: Arrivals, receive: Callable[[], Awaitable[dict[str, Any]]]):
        self.arrivals, self._receive = arrivals, receive
        self.began, self.bytes, self.complete = time.monotonic(), 0, False
        self._given_up, self.refused = asyncio.Event(), ""

    def give_up(self) -> None:
        """Makes room for another body."""
        self.arrivals.arrived(self)
        self._given_up.set()

    async def receive(self) -> dict[str, Any]:
        """The next message. Raises Refused for a body that is late, slow or too much."""
        if self.complete:
            return await self._receive()
        message = await self._next()
        size = len(message.get("body", b""))
        self.bytes += size
        self.arrivals.held += size
        if self.arrivals.held > self.arrivals.budget:
            raise self._refuse("memory")
        if not message.get("more_body", False):
            self.complete = True
            self.arrivals.arrived(self)
        return message

    def _refuse(self, kind: str) -> Refused:
        self.refused = kind  # whoever reads the form may answer the error otherwise
        return Refused(kind)

    async def _next(self) -> dict[str, Any]:
        until = self.began + GRACE_S + self.bytes / LEAST_RATE
        message = asyncio.ensure_future(self._receive())
        given_up = asyncio.ensure_future(self._given_up.wait())
        try:
            await asyncio.wait(
                [message, given_up],
                timeout=max(0.0, until - time.monotonic()),
                return_when=asyncio.FIRST_COMPLETED,
            )
            if message.done():
                return message.result()
            raise self._refuse("crowded" if given_up.done() else "late")
        finally:
            message.cancel()
            given_up.cancel()

    def end(self) -> None:
        """The answer has gone: nothing of the body is held any more."""
        self.arrivals.arrived(self)
        self.arrivals.held -= self.bytes
        self.bytes = 0
