"""What stands before the page: who may call, how much they may send, how many at a time."""

from __future__ import annotations

import json
from urllib.parse import urlsplit

HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src "
    "'self' data: blob:; "
    "connect-src 'self'; form-action 'none'; base-uri 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Permissions-Policy": "camera=(), microphone=(), geolocation=()",
}


def refusal(kind: str, message: str, remedy: str = "") -> dict:
    """The body of every error."""
    return {"error": {"kind": kind, "message": message, "remedy": remedy}}


class Guard:
    """ASGI middleware: hosts, other sites, size of bodies, posts at a time; and headers on every
    answer.

    Args:
        app: what is guarded.
        hosts: names under which the page may be called; a name that only points here (DNS
            rebinding) is refused. Empty allows all.
        most_bytes: of a request's body, looked at while it arrives.
        most_posts: requests with a body that are taken at a time, so that memory is bounded.
    """

    def __init__(
        self, app, hosts: tuple[str, ...] = (), most_bytes: int = 24 << 20, most_posts: int = 16
    ):
        self.app, self.hosts, self.most_bytes, self.most_posts = app, hosts, most_bytes, most_posts
        self.posts = 0

    async def __call__(self, scope, receive, send) -> None:
        if scope["type"] != "http":
            return await self.app(scope, receive, send)
        headers = {k.decode("latin-1").lower(): v.decode("latin-1") for k, v in scope["headers"]}
        refused = self._refused(scope["method"], headers)
        if refused is not None:
            return await _answer(send, *refused)
        if scope["method"] != "POST":
            return await self.app(scope, receive, _with_headers(send))
        self.posts += 1
        try:
            await self._post(scope, receive, _with_headers(send))
        finally:
            self.posts -= 1

    def _refused(self, method: str, headers: dict[str, str]) -> tuple[int, dict, dict] | None:
        host = _host_name(headers.get("host", ""))
        if host is None or (self.hosts and host not in self.hosts):
            return (
                400,
                refusal(
                    "host", "This page is not served under that name.", "Start it with --host NAME"
                ),
                {},
            )
        if method != "POST":
            return None
        origin = headers.get("origin")
        foreign = headers.get("sec-fetch-site", "same-origin") not in ("same-origin", "none")
        if foreign or (origin is not None and _origin_host(origin) != headers.get("host")):
            return 403, refusal("other_site", "Another site may not use this page."), {}
        length = headers.get("content-length", "0")
        if not length.isdigit() or int(length) > self.most_bytes:
            return 413, self._too_large(), {}
        if self.posts >= self.most_posts:
            return (
                503,
                refusal("busy", "Too many people at once.", "Try again in a moment."),
                {"Retry-After": "2"},
            )
        return None

    def _too_large(self) -> dict:
        return refusal(
            "too_large", f"More than {self.most_bytes / (1 << 20):g} MB.", "Send smaller pictures."
        )

    async def _post(self, scope, receive, send) -> None:
        arrived, answered = 0, False

        async def counted():
            nonlocal arrived
            message = await receive()
            arrived += len(message.get("body", b""))
            if arrived > self.most_bytes:
                return {"type": "http.disconnect"}  # nothing more is read
            return message

        async def checked(message):
            nonlocal answered
            if arrived <= self.most_bytes:
                return await send(message)
            if not answered:
                answered = True
                await _answer(send, 413, self._too_large(), {}, headers=False)

        try:
            await self.app(scope, counted, checked)
        except Exception:  # of a reader whose upload was cut off above; any other is none of ours
            if arrived <= self.most_bytes:
                raise
        if arrived > self.most_bytes and not answered:
            await _answer(send, 413, self._too_large(), {}, headers=False)


def _host_name(host: str) -> str | None:
    """The name in a Host header, without the port; None where it is no address."""
    try:
        return urlsplit(f"//{host}").hostname or ""
    except ValueError:  # such as an unclosed bracket
        return None


def _origin_host(origin: str) -> str | None:
    """Host and port in an Origin header; None where it is no address."""
    try:
        return urlsplit(origin).netloc
    except ValueError:
        return None


def _with_headers(send):
    async def sending(message):
        if message["type"] == "http.response.start":
            have = {k.lower() for k, _ in message["headers"]}
            added = [
                (k.lower().encode(), v.encode())
                for k, v in HEADERS.items()
                if k.lower().encode() not in have
            ]
            message = {**message, "headers": [*message["headers"], *added]}
        await send(message)

    return sending


async def _answer(
    send, status: int, body: dict, more: dict[str, str], headers: bool = True
) -> None:
    data = json.dumps(body).encode()
    send = _with_headers(send) if headers else send
    lines = {
        "content-type": "application/json",
        "content-length": str(len(data)),
        "cache-control": "no-store",
        **more,
    }
    await send(
        {
            "type": "http.response.start",
            "status": status,
            "headers": [(k.lower().encode(), v.encode()) for k, v in lines.items()],
        }
    )
    await send({"type": "http.response.body", "body": data})
