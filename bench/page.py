"""The live page with 11,536 meters in headless Chromium: how soon it is open, how smoothly it pans (`… bench page`).

The lab behind it lives at real time, beside the browser. Without a graphics card everything is drawn by the processor.
"""

from __future__ import annotations

import itertools
import math
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from playwright.sync_api import Browser, Page, sync_playwright

from bench.report import Result, Spread
from lab.errors import UserError
from lab.live.handle import Handle, find
from lab.processes.interpreter import python

FEEDER = "simbench:1-MVLV-urban-all-0-sw"
OPEN_WITHIN_S, LEAST_FRAMES_PER_S = 2.0, 30.0
PATIENCE_S = 600.0
FLAGS = ("--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update")
COUNT_FRAMES = """() => {
  window.benchFrames = [];
  const frame = (now) => { window.benchFrames.push(now); requestAnimationFrame(frame); };
  requestAnimationFrame(frame);
}"""


@contextmanager
def living_lab(out: Path, meters: int | None) -> Iterator[Handle]:
    """One that has lived through a quarter-hour, and goes on at real time."""
    chosen = [] if meters is None else ["--meters", str(meters)]
    process = subprocess.Popen(
        [
            *(*python("-m", "lab.commands.main"), "up", "quickstart", "--feeder", FEEDER, "--port", "0"),
            *("--history", "15min", "--out", str(out), *chosen),
        ],
        stdout=subprocess.DEVNULL,
    )
    try:
        yield _handle(process, out)
    finally:
        # The second one: nobody waits for the verdict.
        for _ in range(2):
            process.send_signal(signal.SIGINT)
            time.sleep(1.0)
        process.wait(60)


def _handle(process: subprocess.Popen[bytes], out: Path) -> Handle:
    until_s = time.monotonic() + PATIENCE_S
    while time.monotonic() < until_s and process.poll() is None:
        try:
            return find(out)
        except UserError:
            time.sleep(0.5)
    raise TimeoutError(f"no lab within {PATIENCE_S:g} s")


def open_page(browser: Browser, handle: Handle) -> tuple[Page, float]:
    """A new window's page, and the seconds from asking for it to the map being drawn with all meters."""
    page = browser.new_context(viewport={"width": 1440, "height": 900}).new_page()
    page.goto(f"{handle.url}/#token={handle.token}")
    page.locator("html[data-ready]").wait_for(state="attached")
    ready_ms: Any = page.locator("html").get_attribute("data-ready-ms")
    return page, float(ready_ms) / 1000


def pan(page: Page, seconds: float) -> list[float]:
    """Drag the map in circles and back for so long; returns the time between frames [ms]."""
    page.evaluate(COUNT_FRAMES)
    box = page.locator("#map-canvas").bounding_box()
    assert box is not None
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    radius = min(box["width"], box["height"]) / 3
    page.mouse.move(x + radius, y)
    page.mouse.down()
    began = time.monotonic()
    while (passed := time.monotonic() - began) < seconds:
        page.mouse.move(x + radius * math.cos(3 * passed), y + radius * math.sin(3 * passed))
    page.mouse.up()
    frames: list[float] = page.evaluate("() => window.benchFrames")
    return [after - before for before, after in itertools.pairwise(frames)]


def measure(*, rounds: int = 5, seconds: float = 4.0, meters: int | None = None) -> Result:
    """:param meters: only so many of the feeder's; all if not given."""
    chromium = shutil.which("chromium") or shutil.which("google-chrome")
    opened, rates, medians = [], [], []
    out = Path(tempfile.mkdtemp(prefix="amilab-bench-"))
    try:
        with living_lab(out, meters) as handle, sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path=chromium, args=list(FLAGS))
            for _ in range(rounds):
                page, open_s = open_page(browser, handle)
                # Zoomed in as one works, so that parts of the feeder lie outside and have to be drawn on the way.
                page.locator("#map-canvas").focus()
                for _ in range(3):
                    page.keyboard.press("+")
                between_ms = sorted(pan(page, seconds))
                opened.append(open_s)
                rates.append(1000 / between_ms[int(0.95 * len(between_ms))])
                medians.append(1000 / between_ms[len(between_ms) // 2])
                page.context.close()
            browser.close()
    finally:
        shutil.rmtree(out, ignore_errors=True)
    figures = {
        "open, with every meter on the map": (opened, "s"),
        "of the 2 s that it may take": ([each / OPEN_WITHIN_S for each in opened], ""),
        "panning, 95 of 100 frames at least": (rates, "frames/s"),
        "of the 30 frames/s that it must reach": ([each / LEAST_FRAMES_PER_S for each in rates], ""),
        "panning, median": (medians, "frames/s"),
    }
    return Result(
        f"page ({'11,536' if meters is None else f'{meters:,}'} meters, headless, no GPU)",
        {name: Spread.of(values) for name, (values, _) in figures.items()},
        {name: unit for name, (_, unit) in figures.items()},
    )
