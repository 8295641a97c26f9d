"""What stands before the page: who may call, how much they may send, how many at a time."""

from __future__ import annotations

import ipaddress
import json
import secrets
from http.cookies import CookieError, SimpleCookie
from typing import Any
from urllib.parse import parse_qs, urlsplit

from model.page.arrivals import Arrival, Arrivals, Refused

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


def refusal(kind: str, message: str, remedy: str = "") -> dict[str, Any]:
    """The body of every error."""
    return {"error": {"kind": kind, "message": message, "remedy": remedy}}


COOKIE = "fittingroom"
TOLD = {
    "late": (408, refusal("late", "The request did not arrive in time.", "Try again.")),
    "crowded": (503, refusal("busy", "Too many people at once.", "Try again in a moment.")),
    "memory": (503, refusal("busy", "Too many pictures at once.", "Try again in a moment.")),
}


class Guard:
    """ASGI middleware: hosts, a token, other sites, size and pace of bodies, posts at a time; and
    headers on every answer.

    Args:
        app: what is guarded.
        hosts: names under which the page may be called; a name that only points here (DNS
            rebinding) is refused. Empty allows all.
        addresses: numeric addresses may be called too.
        token: what a caller has to show, in the address (``?token=``; the page keeps it in a
            cookie) or as ``Authorization: Bearer``. Empty asks for none.
        most_bytes: of a request's body, looked at while it arrives.
        most_posts: requests with a body that are taken at a time.
        budget: bytes of bodies that are held at a time, those that wait for their answer too.
    """

    def __init__(
        self,
        app,
        hosts: tuple[str, ...] = (),
        addresses: bool = False,
        token: str = "",
        most_bytes: int = 24 << 20,
        most_posts: int = 16,
        budget: int = 128 << 20,
    ):
        self.app, self.hosts, self.addresses, self.token = app, hosts, addresses, token
        self.most_bytes, self.most_posts, self.posts = most_bytes, most_posts, 0
        self.arrivals = Arrivals(max(4, most_posts // 2), max(budget, 2 * most_bytes))

    async def __call__(self, scope, receive, send) -> None:
        if scope["type"] != "http":
            return await self.app(scope, receive, send)
        headers = {k.decode("latin-1").lower(): v.decode("latin-1") for k, v in scope["headers"]}
        refused = self._refused(scope["method"], headers)
        if refused is None and self.token:
            refused = self._without_token(scope, headers)
        if refused is not None:
            return await _answer(send, *refused)
        if scope["method"] != "POST":
            return await self.app(scope, receive, _with_headers(send))
        try:
            arrival = await self.arrivals.begin(receive)
        except Refused as error:
            return await _answer(send, *TOLD[error.kind], {"Retry-After": "2"})
        self.posts += 1
        try:
            await self._post(scope, arrival, _with_headers(send))
        finally:
            self.posts -= 1
            arrival.end()

    def _without_token(self, scope, headers) -> tuple[int, dict[str, Any], dict[str, Any]] | None:
        """The answer to a caller who doesn't show the token, or shows it in the page's address: the
        page itself then, with a cookie."""
        shown = parse_qs(scope["query_string"].decode("latin-1")).get("token", [""])[0]
        if self._is_token(shown) and scope["method"] == "GET" and scope["path"] == "/":
            cookie = f"{COOKIE}={self.token}; HttpOnly; SameSite=Lax; Path=/"
            return 303, {}, {"Location": "/", "Set-Cookie": cookie}
        bearer = headers.get("authorization", "").removeprefix("Bearer ")
        if any(map(self._is_token, (shown, bearer, _cookie(headers)))):
            return None
        text = "This page is for those who have its whole address."
        return 401, refusal("token", text, "Open the address that serve printed, token too"), {}

    def _is_token(self, shown: str) -> bool:
        return secrets.compare_digest(shown.encode(), self.token.encode())

    def _is_served(self, host: str) -> bool:
        if host in self.hosts or not (self.hosts or self.addresses):
            return True
        try:
            return self.addresses and bool(ipaddress.ip_address(host))
        except ValueError:
            return False

    def _refused(
        self, method: str, headers: dict[str, str]
    ) -> tuple[int, dict[str, Any], dict[str, Any]] | None:
        host = _host_name(headers.get("host", ""))
        if host is None or not self._is_served(host):
            return (
                400,
                refusal(
                    "host",
                    "This page is not served under that name.",
                    "Start it with --allow-host NAME",
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

    def _too_large(self) -> dict[str, Any]:
        return refusal(
            "too_large", f"More than {self.most_bytes / (1 << 20):g} MB.", "Send smaller pictures."
        )

    async def _post(self, scope, arrival: Arrival, send) -> None:
        arrived, answered = 0, False

        async def counted():
            nonlocal arrived
            message = await arrival.receive()
            arrived += len(message.get("body", b""))
            if arrived > self.most_bytes:
                return {"type": "http.disconnect"}  # nothing more is read
            return message

        async def refuse():
            nonlocal answered
            if not answered:
                answered = True
                status, body = TOLD.get(arrival.refused, (413, self._too_large()))
                more = {"Retry-After": "2"} if arrival.refused else {}
                await _answer(send, status, body, more, headers=False)

        def is_refused():
            return arrived > self.most_bytes or bool(arrival.refused)

        async def checked(message):
            if is_refused():
                await refuse()
            else:
                await send(message)

        try:
            await self.app(scope, counted, checked)
        except Exception:  # of a reader whose upload was cut off above; any other is none of ours
            if not is_refused():
                raise
        if is_refused():
            await refuse()


def _host_name(host: str) -> str | None:
    """The name in a Host header, without the port; None where it is no address."""
    try:
        return urlsplit(f"//{host}").hostname or ""
    except ValueError:  # such as an unclosed bracket
        return None


def _cookie(headers: dict[str, str]) -> str:
    try:
        cookie = SimpleCookie(headers.get("cookie", "")).get(COOKIE)
    except CookieError:
        return ""
    return cookie.value if cookie else ""


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
    send, status: int, body: dict[str, Any], more: dict[str, str], headers: bool = True
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
