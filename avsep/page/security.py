"""Who may ask the page for anything: this machine's browser, on the page's own address, or who has the token."""

from __future__ import annotations

import ipaddress
import secrets
from collections.abc import Iterable
from urllib.parse import parse_qsl, urlencode, urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import cookie_parser
from starlette.responses import PlainTextResponse, RedirectResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from avsep.errors import UsageError

LEAST_TOKEN = 12
"""Characters of a token."""
_READING = {"GET", "HEAD"}
_MARK = "x-avsep"
"""Header of the page's own requests. Another site's page cannot send it without being allowed to."""

_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob:; media-src 'self' blob:;"
    " connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
HEADERS = {
    "content-security-policy": _POLICY,
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cross-origin-resource-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
    "permissions-policy": "camera=(), microphone=(), geolocation=()",
}


def is_loopback(host: str) -> bool:
    """Whether an address is one that only this machine reaches."""
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host == "localhost"


def token_for(host: str, given: str | None) -> str | None:
    """The token that a page on `host` asks for: the one that is given, else a new one where others reach the host.

    Raises UsageError for one that is easily guessed or cannot stand in an address.
    """
    if given is None:
        return None if is_loopback(host) else secrets.token_urlsafe(24)
    if len(given) < LEAST_TOKEN or not given.isascii() or not given.isprintable() or " " in given:
        raise UsageError(
            f"--token has {len(given)} characters, or some that cannot stand in an address. Give {LEAST_TOKEN} or more"
            " letters and digits, or leave it out: a token is made then"
        )
    return given


class Guard:
    """Lets requests through that the page itself makes.

    hosts: names and ports by which the page may be called, None for any. With a token any name will do, as no other
    site's browser has the cookie. Cookies of several pages on one machine are told apart by `port`.
    """

    def __init__(self, app: ASGIApp, hosts: Iterable[str] | None, token: str | None, port: int) -> None:
        self.app, self.hosts, self.token = app, None if hosts is None else frozenset(hosts), token
        self.cookie = f"avsep-{port}"

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            if scope["type"] == "lifespan":
                await self.app(scope, receive, send)
            return

        async def send_guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in HEADERS.items():
                    headers[name] = value
                headers.setdefault("cache-control", "no-store")
            await send(message)

        answer = self._refusal(scope) or self._entrance(scope)
        await (answer or self.app)(scope, receive, send_guarded)

    def _refusal(self, scope: Scope) -> PlainTextResponse | None:
        headers = Headers(scope=scope)
        host = headers.get("host", "").lower()
        if self.hosts is not None and host not in self.hosts:
            return PlainTextResponse(f"This page is not {host!r:.80}. Open it by the address that avsep page told", 421)
        origin = headers.get("origin")
        if scope["method"] in _READING:
            # Another site may lead here, and show nothing of it.
            elsewhere = headers.get("sec-fetch-site", "none") not in ("none", "same-origin")
            if elsewhere and headers.get("sec-fetch-mode", "navigate") != "navigate":
                return PlainTextResponse("Another site asks for this. Open the page itself", 403)
            return None
        if origin is None or urlsplit(origin).netloc.lower() != host or _MARK not in headers:
            return PlainTextResponse("Another site asks for a change. Use the page itself", 403)
        return None

    def _entrance(self, scope: Scope) -> PlainTextResponse | RedirectResponse | None:
        """What is answered to who has no token, or comes with one in the address; None for who may pass."""
        if self.token is None:
            return None
        if self._fits(self._from_cookie(Headers(scope=scope).get("cookie", ""))):
            return None
        asked = parse_qsl(scope["query_string"].decode("latin-1"))
        if scope["method"] == "GET" and self._fits(dict(asked).get("token", "")):
            rest = urlencode([pair for pair in asked if pair[0] != "token"])
            # "//host" would lead to another host.
            path = "/" + scope["path"].lstrip("/\\")
            entered = RedirectResponse(f"{path}?{rest}" if rest else path, 303)
            entered.set_cookie(self.cookie, self.token, httponly=True, samesite="strict", path="/")
            return entered
        return PlainTextResponse(
            "This page asks for a token. Open the whole address that avsep page told, with ?token=", 401
        )

    def _from_cookie(self, header: str) -> str:
        # Cookies of all ports of a host come together, and http.cookies drops all where one is unusual.
        return cookie_parser(header).get(self.cookie, "")

    def _fits(self, token: str) -> bool:
        return secrets.compare_digest(token.encode("utf-8", "replace"), (self.token or "").encode())
