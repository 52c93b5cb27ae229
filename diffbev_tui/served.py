"""The UI in a browser of the same machine: textual-serve, closed to others by a token and to other pages."""

import re
import secrets
import shlex
from urllib.parse import urlsplit

from aiohttp import web
from textual_serve.server import Server

HOST = "127.0.0.1"
_OWN = (HOST, "localhost", "::1")
_COOKIE = "diffbev_token"
_OUTSIDE = re.compile(r"<link\b[^>]*https?://[^>]*>", re.DOTALL)
_POLICY = (
    "default-src 'self' 'unsafe-inline' 'unsafe-eval' data: blob:; "
    "connect-src 'self' ws://{host}; form-action 'none'; frame-ancestors 'none'"
)


class LoopbackServer(Server):
    """Gives the page to whoever knows the token, and a terminal to that page only."""

    def __init__(self, command: str, port: int, token: str) -> None:
        super().__init__(command, host=HOST, port=port, title="DiffBEV")
        self._token = token

    async def handle_index(self, request: web.Request) -> web.StreamResponse:
        """Give the page, under a name of this machine only: no other name may be made to point here."""
        _refuse_other_names(f"//{request.host}")
        self._refuse_strangers(request)
        response: web.StreamResponse = await super().handle_index(request)
        if isinstance(response, web.Response) and response.text is not None:
            own = response.text.replace(f'"{self.public_url}/', '"/')
            response.text = _OUTSIDE.sub("", own)  # no font from elsewhere
        response.headers["Content-Security-Policy"] = _POLICY.format(host=request.host)
        response.headers["Referrer-Policy"] = "no-referrer"
        response.set_cookie(_COOKIE, self._token, httponly=True, samesite="Strict")
        return response

    async def handle_websocket(self, request: web.Request) -> web.WebSocketResponse:
        """Connect a terminal, if our own page asks."""
        _refuse_other_names(f"//{request.host}")
        origin = urlsplit(request.headers.get("Origin", ""))
        if origin.netloc != request.host:
            raise web.HTTPForbidden(text="Only the page of this server may use it.\n")
        self._refuse_strangers(request)
        return await super().handle_websocket(request)

    def _refuse_strangers(self, request: web.Request) -> None:
        given = request.query.get("token") or request.cookies.get(_COOKIE, "")
        if not secrets.compare_digest(given.encode(), self._token.encode()):
            raise web.HTTPForbidden(text="Open the address that diffbev-tui serve printed: it has a token.\n")


def _refuse_other_names(origin: str) -> None:
    if urlsplit(origin).hostname not in _OWN:
        raise web.HTTPForbidden(text="Only a page of this machine may use this server.\n")


def new_token() -> str:
    """A secret that cannot be guessed."""
    return secrets.token_urlsafe(24)


def address(port: int, token: str) -> str:
    """What to open in a browser."""
    return f"http://{HOST}:{port}/?token={token}"


def serve(command: list[str], port: int, token: str) -> None:
    """Serve an app, started again for every page, until the process is interrupted."""
    LoopbackServer(shlex.join(command), port, token).serve()
