"""A console in a real browser: windows to look at it with, and pictures of it."""

import os
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from playwright.async_api import Browser, Page
from support.console import TOKEN

from router.console.watch import Watch
from router.store.client import Store

__all__ = ["NARROW", "WIDE", "Site", "chromium"]

PICTURES = Path(__file__).parents[2] / "build" / "browser"
WIDE = {"width": 1360, "height": 860}
NARROW = {"width": 390, "height": 844}


_BEYOND = """[...document.querySelectorAll('main *')].filter(
    e => e.getBoundingClientRect().right > innerWidth).map(e => e.outerHTML.slice(0, 80))"""


def chromium() -> str:
    """Return the browser's program; there is nothing to test without one."""
    named = [os.environ.get("CHROMIUM", ""), "chromium", "chromium-browser", "google-chrome"]
    found = next((path for path in map(shutil.which, filter(None, named)) if path), None)
    assert found, "no Chromium: install one (apt-get install chromium), or name it in CHROMIUM"
    return found


@dataclass
class Site:
    """A console that a browser can reach, and what the browser complained of."""

    url: str
    store: Store
    browser: Browser
    complaints: list[str]
    watch: Watch

    @asynccontextmanager
    async def visit(self, *, signed_in: bool = True, **options: Any) -> AsyncIterator[Page]:
        """Open a window; `options` are those of the browser."""
        context = await self.browser.new_context(**{"viewport": WIDE, "base_url": self.url, **options})
        page = await context.new_page()
        page.set_default_timeout(10_000)
        page.on(
            "console", lambda said: self.complaints.append(said.text) if said.type in {"error", "warning"} else None
        )
        page.on("pageerror", lambda error: self.complaints.append(str(error)))
        if signed_in:
            await page.goto("/login")
            await page.fill("[name=token]", TOKEN)
            await page.fill("[name=name]", "kari")
            await page.click("main button")
            await page.wait_for_url(self.url + "/")
        yield page
        await context.close()

    async def picture(self, page: Page, name: str, *, whole: bool = True) -> None:
        """Take a picture of the whole page or of what the window shows; nothing may be beyond its edge."""
        PICTURES.mkdir(parents=True, exist_ok=True)
        await page.screenshot(path=PICTURES / f"{name}.png", full_page=whole)
        wide = await page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
        assert wide <= 0, f"{name} is {wide} pixels too wide: {await page.evaluate(_BEYOND)}"
