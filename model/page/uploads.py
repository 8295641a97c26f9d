"""Forms whose files stay in memory: nothing that is uploaded reaches the disc, and no other
application of the process is changed for it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from fastapi import Request, Response
from fastapi.routing import APIRoute
from starlette.datastructures import FormData
from starlette.exceptions import HTTPException
from starlette.formparsers import MultiPartException, MultiPartParser


def in_memory_route(most_bytes: int) -> type[APIRoute]:
    """A class of routes that read multipart forms of up to ``most_bytes`` without a file.

    The guard before the page refuses larger bodies while they arrive.
    """

    class Parser(MultiPartParser):
        spool_max_size = max_file_size = most_bytes  # the second is its name in older Starlettes

    class FormRequest(Request):
        async def form(self, **limits: Any) -> FormData:  # type: ignore[override]
            if not self.headers.get("content-type", "").startswith("multipart/form-data"):
                return await super().form(**limits)
            if self._form is None:
                try:
                    self._form = await Parser(self.headers, self.stream(), **limits).parse()
                except MultiPartException as error:
                    raise HTTPException(400, error.message) from None
            return self._form

    class Route(APIRoute):
        def get_route_handler(self) -> Callable[..., Any]:
            handle = super().get_route_handler()

            async def handler(request: Request) -> Response:
                return await handle(FormRequest(request.scope, request.receive))

            return handler

    return Route
