"""Headless Chromium, driven by Playwright."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from playwright.sync_api import Browser, Page, sync_playwright

from tests import left_out

CHROMIUM = next((path for name in ("chromium", "google-chrome") if (path := shutil.which(name))), None)
QUIET = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
)
NETWORK_CHANGED = "net::ERR_NETWORK_CHANGED"
"""Somebody on this machine has brought a network up or down, containers for instance: no fault of the page."""
without_a_browser = left_out.unless(CHROMIUM, *left_out.CHROMIUM)


@contextmanager
def chromium() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=list(QUIET))
        yield browser
        browser.close()


@contextmanager
def opened(browser: Browser, url: str, **context: Any) -> Iterator[tuple[Page, list[str]]]:
    """The page once it is ready, and everything that its console complains of."""
    with browser.new_context(**{"viewport": {"width": 1440, "height": 900}, **context}) as window:
        page = window.new_page()
        complaints: list[str] = []
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("console", lambda said: complaints.append(said.text) if said.type in ("error", "warning") else None)
        page.set_default_timeout(60_000)
        page.goto(url)
        for _ in range(5):
            if not any(NETWORK_CHANGED in each for each in complaints):
                break
            complaints.clear()
            page.reload()
        page.locator("html[data-ready]").wait_for(state="attached")
        yield page, complaints
