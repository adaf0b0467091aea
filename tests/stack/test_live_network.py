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
    fleet = "shares = { sparkplug-mesh = 0.8, rl-dsp = 0.2 }"
    text = scenario_text(meters=METERS, duration="1h", fleet=fleet, network="radio")
    with live_lab(text) as lab, chromium() as browser, opened(browser, lab.url) as (page, complaints):
        (collector,) = lab.client.get("scene")["network"]["meshes"]
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
        page.get_by_role("button", name="Restore all").click()
        # What disturbs the network itself: what the chosen meter is reached by, or one that is drawn.
        lab.speed(60)
        page.get_by_label("How and where").select_option(label=f"jam the mesh of {collector}")
        page.get_by_label("Faults and lost uplinks last").select_option(label="45 min")
        page.get_by_role("button", name="Disturb network").click()
        incidents = page.locator("#incidents")
        expect(incidents).to_contain_text(f"network: jam of mesh {collector}")
        page.get_by_label("How and where").select_option(label="an operator out, drawn")
        page.get_by_role("button", name="Disturb network").click()
        expect(incidents).to_contain_text("network: operator-outage of operator-")
        expect(canvas).to_have_attribute("data-h1", "0", timeout=PATIENCE_S * 1000)
        assert sum(each != NO_WAY for each in lab.client.get("network")["parent"]) < METERS / 4
        page.get_by_role("button", name="Restore all").click()
        expect(incidents).to_have_text("nothing")
        expect(canvas).to_have_attribute("data-noway", "0", timeout=PATIENCE_S * 1000)
        lab.speed(0)
        assert complaints == []
