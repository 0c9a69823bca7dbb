"""A real browser, and a console for it to look at."""

import os
from collections.abc import AsyncIterator

import pytest
from playwright.async_api import Browser, async_playwright
from support.browsing import Site, chromium
from support.console import TOKEN, serving

from config.settings import Settings
from router.console.console import Console
from router.events.catalogue import Catalogue
from router.store.client import Store


@pytest.fixture
async def browser() -> AsyncIterator[Browser]:
    """Yield a browser."""
    arguments = ["--no-sandbox"] if os.geteuid() == 0 else []
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=chromium(), args=arguments)
        yield browser
        await browser.close()


@pytest.fixture
async def site(real_store: Store, catalogue: Catalogue, browser: Browser) -> AsyncIterator[Site]:
    """Yield a console on a real server; a page that the browser complains of fails the test."""
    console = Console.of(Settings(), catalogue, real_store, TOKEN)
    async with serving(console) as origin:
        site = Site(origin, real_store, browser, [], console.watch)
        yield site
    assert site.complaints == []
