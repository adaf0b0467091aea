"""The live map shows how meters are reached, in a real browser, where the lab has a model of that, and only there."""

from __future__ import annotations

from collections import Counter

import pytest
from playwright.sync_api import expect

from lab.live.routes import NO_WAY, TO_COLLECTOR
from tests.stack.browser import chromium, opened, without_a_browser
from tests.stack.labs import scenario_text
from tests.stack.live import PATIENCE_S, live_lab

pytestmark = [without_a_browser, pytest.mark.timeout(900)]
METERS = 60


def test_hops_and_ways_are_shown_and_follow_the_supply() -> None:
    text = scenario_text(meters=METERS, duration="1h", fleet='preset = "mesh"', network="radio")
    with live_lab(text) as lab, chromium() as browser, opened(browser, lab.url) as (page, complaints):
        assert lab.client.get("scene")["network"] is True
        routes = lab.client.get("network")
        assert TO_COLLECTOR in routes["parent"]
        page.get_by_text("hops", exact=True).click()
        canvas = page.locator("#map-canvas")
        expect(canvas).to_have_attribute("data-h1", str(Counter(routes["hops"])[1]), timeout=PATIENCE_S * 1000)
        page.get_by_role("button", name="As a table").click()
        expect(page.get_by_role("table", name="Ways over the network by collector")).to_be_visible()
        far = max(range(METERS), key=routes["hops"].__getitem__)
        page.get_by_label("Find a meter").fill(lab.client.get("scene")["serials"][far])
        page.get_by_role("button", name="Find", exact=True).click()
        expect(page.locator("#meter")).to_contain_text("dBm")
        # Who goes dark has no way any more, and relays nobody.
        lab.speed(60)
        page.get_by_role("button", name="Fault: service").click()
        lab.until_counted("dark", 1)
        lab.speed(0)
        now = lab.client.get("network")["parent"]
        assert now[far] == NO_WAY
        assert far not in now
        expect(canvas).to_have_attribute("data-noway", str(Counter(now)[NO_WAY]), timeout=PATIENCE_S * 1000)
        assert complaints == []
