"""The served UI, from a real browser and from pages that must not reach it."""

import asyncio
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import cv2
import numpy as np
import pytest
from playwright.async_api import Page, async_playwright

from tests.processes import PATIENCE_S
from tests.tui.monitor.run_files import write_run

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
# No sandbox: tests may run as root. The rest keeps the browser from calling home.
FLAGS = [
    *("--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync"),
    *("--disable-background-networking", "--disable-component-update"),
]

TOKEN = "a-token-of-the-test"

pytestmark = pytest.mark.slow


@pytest.fixture
async def port(workspace: Path) -> AsyncIterator[int]:
    """A server of the UI on ``workspace``."""
    write_run(workspace / "runs" / "baseline", step=4_000, max_iters=200_000)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = int(free.getsockname()[1])
    command = [sys.executable, "-m", "diffbev_tui.main", "serve", str(workspace)]
    environment = {**os.environ, "DIFFBEV_TUI_TOKEN": TOKEN}
    server = subprocess.Popen(
        [*command, "--port", str(port), "--lang", "en"], stdout=subprocess.DEVNULL, env=environment
    )
    try:
        await _until_it_listens(port, server)
        yield port
    finally:
        server.terminate()
        assert server.wait(PATIENCE_S) == 0


async def _until_it_listens(port: int, server: subprocess.Popen) -> None:
    end = time.monotonic() + PATIENCE_S
    while True:
        try:
            _, writer = await asyncio.open_connection("127.0.0.1", port)
        except ConnectionRefusedError:
            assert server.poll() is None
            assert time.monotonic() < end
            await asyncio.sleep(0.1)
        else:
            writer.close()
            return


class Screen:
    """What the terminal in a page was sent."""

    def __init__(self, page: Page) -> None:
        self._frames: list[bytes] = []
        page.on("websocket", lambda socket: socket.on("framereceived", self._take))

    def _take(self, frame: str | bytes) -> None:
        self._frames.append(frame.encode() if isinstance(frame, str) else frame)

    async def shows(self, text: str) -> None:
        end = time.monotonic() + PATIENCE_S
        while text.encode() not in b"".join(self._frames):
            assert time.monotonic() < end, b"".join(self._frames)[-4000:].decode(errors="replace")
            await asyncio.sleep(0.1)


@pytest.mark.skipif(CHROMIUM is None, reason="needs chromium")
async def test_a_browser_shows_the_screens_takes_keys_and_starts_nothing(port):
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        page = await browser.new_page(viewport={"width": 1300, "height": 800})
        own, asked = f"http://127.0.0.1:{port}/", []
        page.on("request", lambda request: asked.append(request.url))
        screen = Screen(page)
        await page.goto(f"{own}?token={TOKEN}", wait_until="domcontentloaded")
        await screen.shows("Next:")
        helper = "getComputedStyle(document.querySelector('.xterm-helper-textarea')).position"
        assert await page.evaluate(helper) == "absolute", "the page has its own style sheet"
        await page.locator(".textual-terminal").click()
        await page.keyboard.press("2")
        await screen.shows("not resumed")  # the line below the charts
        await page.keyboard.press("S")
        await screen.shows("Read-only")
        colours = cv2.imdecode(np.frombuffer(await page.screenshot(), np.uint8), cv2.IMREAD_COLOR)
        assert len(np.unique(colours.reshape(-1, 3), axis=0)) > 50  # text and curves, not an empty page
        assert all(url.startswith((own, "data:", "blob:")) for url in asked), "nothing from elsewhere"
        await browser.close()


async def test_pages_of_other_sites_and_other_names_of_this_machine_are_refused(port):
    socket_address = f"ws://127.0.0.1:{port}/ws?width=80&height=24"
    page = f"http://127.0.0.1:{port}/"
    jar = aiohttp.CookieJar(unsafe=True)  # cookies of an address, as browsers keep them
    async with aiohttp.ClientSession(cookie_jar=jar) as session:
        for address in (page, f"{page}?token=wrong"):
            async with session.get(address) as answer:
                assert answer.status == 403, "whoever does not know the token gets nothing"
        own = {"Origin": f"http://127.0.0.1:{port}"}
        with pytest.raises(aiohttp.WSServerHandshakeError):
            await session.ws_connect(socket_address, headers=own)
        async with session.get(f"{page}?token={TOKEN}") as answer:
            assert answer.status == 200
            assert "fonts.googleapis" not in await answer.text()
            assert "default-src 'self'" in answer.headers["Content-Security-Policy"]
        for headers in (
            {"Origin": "https://evil.example"},
            {"Origin": "null"},
            {"Origin": f"http://127.0.0.1:{port + 1}"},
            {},
            {"Origin": f"http://127.0.0.1:{port}", "Host": f"evil.example:{port}"},
        ):
            with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
                await session.ws_connect(socket_address, headers=headers)
            assert refused.value.status == 403
        async with session.get(f"http://127.0.0.1:{port}/", headers={"Host": "evil.example"}) as answer:
            assert answer.status == 403
        async with session.ws_connect(socket_address, headers=own) as terminal:
            first = await asyncio.wait_for(terminal.receive(), 30)
            assert first.type in (aiohttp.WSMsgType.TEXT, aiohttp.WSMsgType.BINARY)
