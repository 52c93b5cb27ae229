"""The UI in a browser of the same machine: textual-serve, closed to pages of other sites."""

import shlex
from urllib.parse import urlsplit

from aiohttp import web
from textual_serve.server import Server

HOST = "127.0.0.1"
_OWN = (HOST, "localhost", "::1")


class LoopbackServer(Server):
    """Any page that a browser shows may open a WebSocket to this machine; only our own gets an answer."""

    async def handle_index(self, request: web.Request) -> web.StreamResponse:
        """Give the page, under a name of this machine only: no other name may be made to point here."""
        _refuse_others(f"//{request.host}")
        response: web.StreamResponse = await super().handle_index(request)
        return response

    async def handle_websocket(self, request: web.Request) -> web.WebSocketResponse:
        """Connect a terminal, if our own page asks."""
        _refuse_others(f"//{request.host}")
        _refuse_others(request.headers.get("Origin", ""))
        return await super().handle_websocket(request)


def _refuse_others(origin: str) -> None:
    if urlsplit(origin).hostname not in _OWN:
        raise web.HTTPForbidden(text="Only a page of this machine may use this server.\n")


def serve(command: list[str], port: int) -> None:
    """Serve an app, started again for every page, until the process is interrupted."""
    LoopbackServer(shlex.join(command), host=HOST, port=port, title="DiffBEV").serve()
