"""Connections with deadlines: whoever sends no whole head in time, or is the oldest of too many who
have not, is hung up on, so that others are answered."""

from __future__ import annotations

import asyncio
from typing import Any

from uvicorn.protocols.http.h11_impl import H11Protocol

HEAD_SECONDS = 10.0
"""Within these the lines before a body have to be here."""
MOST_WAITING = 128
"""Connections without a whole head that are held at a time."""


class PatientProtocol(H11Protocol):
    """uvicorn's protocol, with a deadline for every head; pass it as ``http=`` of its Config."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)  # type: ignore[arg-type]
        self._deadline: asyncio.TimerHandle | None = None
        self._await_head()

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        if self._has_no_head():
            self._await_head()
        else:
            self._stop_waiting()

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_waiting()
        super().connection_lost(exc)

    def _has_no_head(self) -> bool:
        return self.cycle is None or self.cycle.response_complete

    def _await_head(self) -> None:
        if self._deadline is not None or self.transport.is_closing():
            return
        waiting = _waiting_of(self.server_state)
        if len(waiting) >= MOST_WAITING:
            oldest = next(iter(waiting))
            oldest._hang_up()
        waiting[self] = None
        self._deadline = self.loop.call_later(HEAD_SECONDS, self._hang_up)

    def _stop_waiting(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None
        _waiting_of(self.server_state).pop(self, None)

    def _hang_up(self) -> None:
        self._stop_waiting()
        self.transport.abort()


def _waiting_of(state: Any) -> dict[PatientProtocol, None]:
    """The connections of one server that have sent no whole head, the oldest first."""
    if not hasattr(state, "without_head"):
        state.without_head = {}
    return state.without_head
