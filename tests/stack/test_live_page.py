"""The live page in a real browser: every panel shows data, what is injected is seen, and nobody is left out."""

from __future__ import annotations

import re
import shutil
import signal
import tempfile
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from playwright.sync_api import Browser, Page, Route, expect

from dashboards.catalogue import DASHBOARDS
from dashboards.model import Dashboard
from dashboards.roles import create_roles
from tests.headend.services import Postgres
from tests.stack.browser import chromium, opened, without_a_browser
from tests.stack.labs import scenario_text
from tests.stack.live import PATIENCE_S, LiveLab, live_lab

pytestmark = [without_a_browser, pytest.mark.timeout(900)]
LOAD_TEST = """
INSERT INTO load_test_sample
SELECT 'ramp-1', TIMESTAMPTZ '2026-01-10 10:00Z' + n * interval '1 second', source, metric, 100 + n
FROM generate_series(0, 59) n, (VALUES
    ('generator', 'offered_messages_per_s'), ('client', 'messages_per_s'), ('head-end', 'messages_per_s'),
    ('database', 'rows_per_s'), ('database', 'ceiling_rows_per_s'), ('head-end', 'ceiling_messages_per_s'),
    ('client', 'p95_ms'), ('head-end', 'p95_ms'), ('client', 'users'), ('client', 'errors_per_s'),
    ('generator', 'lag_ms'), ('generator', 'lag_limit_ms'), ('generator', 'cpu_percent'), ('database', 'cpu_percent')
) AS m (source, metric)
"""
"""What a load test into the lab's database would have left there."""


@pytest.fixture(scope="module")
def database() -> Iterator[Postgres]:
    directory = Path(tempfile.mkdtemp(prefix="live-pg-"))
    directory.chmod(0o755)
    server = Postgres(directory)
    server.start()
    with psycopg.connect(server.url(), autocommit=True) as connection:
        create_roles(connection, password="p1", households_password="p2")
    yield server
    server.stop()
    shutil.rmtree(directory)


@pytest.fixture(scope="module")
def lab(database: Postgres) -> Iterator[LiveLab]:
    """Meters that report in blocks every four hours have done so."""
    text = scenario_text(meters=120, duration="1h", fleet='preset = "bakeoff"\ntransformer_meters = "sdm630-ct"')
    with live_lab(text, "--database-url", database.url(), history="4h30min") as lab:
        with psycopg.connect(database.url(), autocommit=True) as connection:
            (schema,) = connection.execute(
                "SELECT nspname FROM pg_namespace WHERE nspname LIKE 'amilab_%'"
            ).fetchone() or ("",)
            connection.execute("SELECT set_config('search_path', %s, false)", [schema])
            connection.execute(LOAD_TEST)
        yield lab


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as browser:
        yield browser


@pytest.fixture
def page(browser: Browser, lab: LiveLab) -> Iterator[Page]:
    """At its end nothing in the page must have gone wrong."""
    with opened(browser, lab.url) as (page, complaints):
        yield page
        assert complaints == []


NOTHING_WENT_WRONG = {
    "outages/timeline",
    "outages/outages",
    "outages/customers_dark",
    "outages/saidi_by_day",
    "feeder/voltage_events",
    "operations/dead_letters",
    "operations/dead_letter_reasons",
    "operations/requests",
    "vendors/requests",
    "vendors/events",
    "meter/events",
    "network/delay",
    "network/repeats",
}
"""Panels of what goes wrong, of which nothing did yet."""


def counted(page: Page, state: str) -> int:
    return int(page.locator("#map-canvas").get_attribute(f"data-{state}") or 0)


def expect_counted(page: Page, state: str, count: int) -> None:
    expect(page.locator("#map-canvas")).to_have_attribute(f"data-{state}", str(count), timeout=PATIENCE_S * 1000)


@pytest.mark.parametrize("dashboard", DASHBOARDS, ids=lambda dashboard: dashboard.key)
@pytest.mark.parametrize("scheme", ["light", pytest.param("dark", marks=pytest.mark.long)])
def test_every_panel_of_every_dashboard_shows_data(
    browser: Browser, lab: LiveLab, dashboard: Dashboard, scheme: str
) -> None:
    with opened(browser, lab.url, color_scheme=scheme) as (page, complaints):
        page.get_by_role("navigation").get_by_role("link", name=dashboard.title, exact=True).click()
        if dashboard.households:
            page.get_by_role("button", name="Show household curves").click()
        for panel in dashboard.panels:
            box = page.locator(f'.panel[data-panel="{panel.key}"]')
            if f"{dashboard.key}/{panel.key}" in NOTHING_WENT_WRONG:
                expect(box).to_have_attribute("data-state", "empty", timeout=PATIENCE_S * 1000)
                expect(box.locator(".nothing")).to_have_text(panel.when_empty)
                continue
            expect(box).to_have_attribute("data-state", "data", timeout=PATIENCE_S * 1000)
            shown = {
                "table": "tbody td", "stat": "dd", "gauge": ".dial p", "map": "canvas",
            }.get(panel.kind, ".chart .main-svg")  # fmt: skip
            expect(box.locator(shown).first).to_be_visible()
            expect(box.get_by_role("heading", name=panel.title, exact=True)).to_be_visible()
        assert complaints == []


def test_charts_have_marks_and_a_table_beside_them(page: Page) -> None:
    page.goto(page.url.partition("#")[0] + "#amilab-operations")
    box = page.locator('.panel[data-panel="reads_over_time"]')
    expect(box.locator(".chart .scatterlayer .trace path.js-line").first).to_be_attached(timeout=PATIENCE_S * 1000)
    assert re.search(r"expected last \d", box.locator(".chart").get_attribute("aria-label") or "")
    box.get_by_role("button", name="Reads over time as a table").click()
    expect(box.get_by_role("table")).to_be_visible()
    assert box.locator("tbody tr").count() == int(box.get_attribute("data-rows") or 0)


def test_household_curves_are_shown_only_when_one_chooses_so(page: Page, lab: LiveLab) -> None:
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.get_by_role("link", name="Meter", exact=True).click()
    expect(page.get_by_role("heading", name="This shows what one household used")).to_be_visible()
    assert not [url for url in asked if "/panels/" in url]
    refused = page.request.get(
        f"{lab.root}/api/dashboards/amilab-meter/panels/energy?var-usage_point=x",
        headers={"X-Amilab-Token": lab.token},
    )
    assert refused.status == 403


def test_a_lab_without_a_model_of_the_network_shows_no_ways_over_it(page: Page, lab: LiveLab) -> None:
    expect(page.locator("#network-layer")).to_be_hidden()
    expect(page.locator("#signal-layer")).to_be_hidden()
    refused = page.request.get(f"{lab.root}/api/network", headers={"X-Amilab-Token": lab.token})
    assert refused.status == 404


def test_meters_have_no_names_and_no_addresses(lab: LiveLab) -> None:
    scene = lab.client.get("scene")
    assert set(scene) == {
        "feeder", "scheme", "serials", "usage_points", "vendors", "vendor", "relay", "x", "y", "transformer", "section",
        "transformers", "collectors", "bare", "low_voltage", "medium_voltage", "scenario", "phases",
    }  # fmt: skip


def test_an_injected_transformer_fault_turns_its_customers_dark_and_back(page: Page, lab: LiveLab) -> None:
    scene = lab.client.get("scene")
    number = max(set(scene["transformer"]), key=scene["transformer"].count)
    customers = [at for at, each in enumerate(scene["transformer"]) if each == number]
    name = scene["transformers"][number]["name"]
    supplied = counted(page, "supplied")
    page.get_by_label("Find a meter").fill(scene["serials"][customers[0]])
    page.get_by_role("button", name="Find", exact=True).click()
    expect(page.get_by_role("heading", name=scene["serials"][customers[0]])).to_be_visible()
    lab.speed(60)
    page.get_by_role("button", name="Fault: transformer").click()
    expect(page.locator("#incidents")).to_contain_text(f"fault: transformer {name}")
    expect_counted(page, "supplied", supplied - len(customers))
    expect_counted(page, "dark", len(customers))
    expect(page.locator("#meter .words")).to_contain_text("dark, and the head-end knows")
    expect(page.locator("#events")).to_contain_text(f"found: transformer {name}", timeout=PATIENCE_S * 1000)
    page.get_by_role("button", name=f"Restore: fault: transformer {name}").click()
    expect_counted(page, "supplied", supplied)
    expect(page.locator("#incidents")).to_have_text("nothing")
    lab.until_counted("gasped", 0)
    lab.speed(0)


def test_a_collector_that_is_lost_is_seen_in_the_layer_of_communication(page: Page, lab: LiveLab) -> None:
    (collector,) = lab.client.get("scene")["collectors"]
    lab.speed(60)
    page.get_by_role("button", name="Lose comms").first.click()
    page.get_by_text("communication", exact=True).click()
    expect_counted(page, "offline", len(collector["meters"]))
    assert lab.state()["counts"]["dark"] == 0
    page.get_by_role("button", name="Restore all").click()
    expect_counted(page, "offline", 0)
    lab.speed(0)


def test_a_disconnected_customer_has_a_sign_of_its_own(page: Page, lab: LiveLab) -> None:
    scene = lab.client.get("scene")
    serial = next(serial for serial, has in zip(scene["serials"], scene["relay"], strict=True) if has)
    page.get_by_label("Find a meter").fill(serial)
    page.get_by_role("button", name="Find", exact=True).click()
    supplied = counted(page, "supplied")
    lab.speed(60)
    page.get_by_role("button", name="Open relay").click()
    expect_counted(page, "disconnected", 1)
    expect_counted(page, "supplied", supplied - 1)
    expect(page.locator("#meter .words")).to_contain_text("disconnected by its meter, no outage")
    page.get_by_role("button", name="Close relay").click()
    expect_counted(page, "disconnected", 0)
    expect(page.locator("#incidents")).to_have_text("nothing")
    lab.speed(0)


def test_a_blown_fuse_shows_who_lacks_a_phase_apart_from_who_is_dark(page: Page, lab: LiveLab) -> None:
    scene = lab.client.get("scene")
    number = max(set(scene["transformer"]), key=scene["transformer"].count)
    behind = [at for at, each in enumerate(scene["transformer"]) if each == number]
    partial = [at for at in behind if "L2" in scene["phases"][at] and scene["phases"][at] != "L2"]
    dark = sum(scene["phases"][at] == "L2" for at in behind)
    assert partial
    name, supplied = scene["transformers"][number]["name"], counted(page, "supplied")
    page.get_by_label("Find a meter").fill(scene["serials"][partial[0]])
    page.get_by_role("button", name="Find", exact=True).click()
    page.get_by_label("Which conductor").select_option("L2")
    page.get_by_label("Of which device").select_option(label=f"transformer {name}")
    lab.speed(60)
    page.get_by_role("button", name="Open conductor").click()
    expect(page.locator("#incidents")).to_contain_text(f"transformer {name} L2")
    expect_counted(page, "partial", len(partial))
    expect_counted(page, "supplied", supplied - len(partial) - dark)
    assert lab.state()["counts"]["dark"] == dark
    expect(page.locator("[data-figure='a phase missing']")).to_have_text(str(len(partial)))
    # Shape and word say it, not colour alone.
    legend = page.locator("#legend li", has_text="a phase is missing, others supply it")
    expect(legend.locator("svg.wedge")).to_be_visible()
    expect(page.locator("#meter .words")).to_contain_text(
        "L2 missing, and the head-end knows", timeout=PATIENCE_S * 1000
    )
    page.get_by_role("button", name="As a table").click()
    table = page.get_by_role("table", name="Meters by transformer")
    assert sum(int(text) for text in table.locator("tbody td:nth-child(4)").all_inner_texts()) == len(partial)
    page.get_by_role("button", name=re.compile("^Restore: .*L2")).click()
    expect_counted(page, "supplied", supplied)
    expect_counted(page, "partial", 0)
    expect(page.locator("#incidents")).to_have_text("nothing")
    lab.until_counted("phase_told", 0)
    lab.speed(0)


def test_an_exercise_on_the_page(page: Page, lab: LiveLab) -> None:
    lab.speed(60)
    page.get_by_role("button", name="Phantom outage").click()
    expect(page.locator("#exercise-banner")).to_contain_text("Hidden: the truth")
    expect(page.get_by_role("heading", name="Disturb")).to_be_hidden()
    expect(page.locator("#verdict-pill")).to_have_text("verdict hidden")
    (collector,) = lab.client.get("scene")["collectors"]
    lab.until_counted("offline", len(collector["meters"]))
    expect(page.locator("#events")).not_to_contain_text("uplink loss")
    page.get_by_label("How many of the silent customers").fill("0")
    page.get_by_label("a collector or its uplink").check()
    page.get_by_role("group", name="Do you send a line crew?").get_by_label("no", exact=True).check()
    page.get_by_role("button", name="Answer").click()
    debrief = page.get_by_role("dialog")
    expect(debrief).to_contain_text("10 of 10 points")
    expect(debrief).to_contain_text(f"uplink loss: collector {collector['name']}")
    debrief.get_by_role("button", name="Close").click()
    expect(page.get_by_role("heading", name="Disturb")).to_be_visible()
    lab.until_counted("offline", 0)
    lab.speed(0)


def test_the_whole_page_by_keyboard(page: Page, lab: LiveLab) -> None:
    page.keyboard.press("Tab")
    expect(page.get_by_role("link", name="Skip to the content")).to_be_focused()
    seen = []
    while (focused := page.locator(":focus")).count():
        seen.append(focused.get_attribute("id"))
        page.keyboard.press("Tab")
    for name in ("speed", "theme", "map-canvas", "search-text", "as-table", "fault-what", "restore-all", "events"):
        # What is disabled now is passed over.
        if page.locator(f"#{name}").is_enabled():
            assert name in seen
    page.locator("#map-canvas").focus()
    for key in ("+", "+", "ArrowLeft", "ArrowUp", "-", "0"):
        page.keyboard.press(key)
    page.keyboard.press("n")
    expect(page.locator("#map-summary")).to_have_text("no meter is affected")


def test_the_map_as_a_table(page: Page, lab: LiveLab) -> None:
    page.get_by_role("button", name="As a table").click()
    table = page.get_by_role("table", name="Meters by transformer")
    scene = lab.client.get("scene")
    assert table.locator("tbody tr").count() == len(set(scene["transformer"]))
    numbers = [int(text) for text in table.locator("tbody td:nth-child(2)").all_inner_texts()]
    assert sum(numbers) == len(scene["serials"])


def test_landmarks_and_names_for_those_who_cannot_see_it(page: Page) -> None:
    for role in ("banner", "navigation", "main", "complementary", "search", "log"):
        expect(page.get_by_role(role)).to_have_count(1)
    for control in page.locator("button, select, input").all():
        name = control.get_attribute("aria-label") or control.inner_text()
        labelled = name.strip() or page.locator(f"label[for='{control.get_attribute('id')}']").count()
        assert labelled or control.locator("xpath=ancestor::label").count(), control.get_attribute("id")
    assert page.locator("#events").get_attribute("aria-live") == "polite"


def test_light_dark_and_large(browser: Browser, lab: LiveLab) -> None:
    def paper(page: Page) -> str:
        return str(page.locator("body").evaluate("body => getComputedStyle(body).backgroundColor"))

    with (
        opened(browser, lab.url, color_scheme="light") as (light, _),
        opened(browser, lab.url, color_scheme="dark") as (dark, _),
    ):
        assert paper(light) != paper(dark)
        was = paper(light)
        for _ in range(2):
            light.locator("#theme").click()
        expect(light.locator("#theme")).to_contain_text("dark")
        assert paper(light) == paper(dark) != was
        before = light.locator("h2").first.evaluate("h => parseFloat(getComputedStyle(h).fontSize)")
        light.get_by_role("button", name="larger").click()
        assert light.locator("h2").first.evaluate("h => parseFloat(getComputedStyle(h).fontSize)") > before * 1.2


NARROW = 400
VIEWS = ["map", "verdict", *(dashboard.uid for dashboard in DASHBOARDS)]


@pytest.mark.parametrize("view", VIEWS)
def test_nothing_is_wider_than_a_telephone(browser: Browser, lab: LiveLab, view: str) -> None:
    with opened(browser, lab.url, viewport={"width": NARROW, "height": 800}) as (page, complaints):
        page.evaluate("view => { location.hash = view; }", view)
        if view == "amilab-meter":
            page.get_by_role("button", name="Show household curves").click()
        if view.startswith("amilab-"):
            expect(page.locator(".panel[data-state=data]").first).to_be_visible(timeout=PATIENCE_S * 1000)
            expect(page.locator(".panel[data-state=loading]")).to_have_count(0, timeout=PATIENCE_S * 1000)
        assert page.evaluate("document.scrollingElement.scrollWidth") <= NARROW
        wide = page.evaluate(
            """width => [...document.querySelectorAll("main *, aside *, header *")]
                .filter((each) => !each.closest(".scroll, .main-svg, .sr"))
                .filter((each) => each.getBoundingClientRect().right > width + 1)
                .map((each) => `${each.tagName} ${each.className} ${each.textContent.slice(0, 40)}`)""",
            NARROW,
        )
        assert wide == [], "what is wider is cut"
        assert complaints == []


def test_names_on_axes_are_as_people_say_them(page: Page, lab: LiveLab) -> None:
    page.get_by_role("link", name="Feeder", exact=True).click()
    box = page.locator('.panel[data-panel="loading_by_transformer"]')
    expect(box.locator(".xtick text").first).to_be_attached(timeout=PATIENCE_S * 1000)
    names = {each["name"] for each in lab.client.get("scene")["transformers"]}
    labels = box.locator(".xtick text").all_text_contents()
    assert labels
    assert set(labels) <= names
    expect(page.locator("#dashboard-controls option").first).not_to_contain_text("transformer:")


def test_names_are_shortened_only_as_far_as_they_can_be_told_apart(page: Page) -> None:
    shortened = page.evaluate(
        """async () => { const { shortNames } = await import("/static/panels.js"); return [
            shortNames(["transformer:T_idx_35", "transformer:5"]),
            shortNames(["transformer:5", "section:5"]),
            shortNames(["section:a-very-long-name-of-a-section-S17", "section:5-S02"]),
            shortNames(["section:a-very-long-name-1-of-a-section", "section:a-very-long-name-2-of-a-section"]),
        ]; }"""
    )
    assert shortened == [
        ["T_idx_35", "5"],
        ["transformer:5", "section:5"],
        ["a-very-…tion-S17", "5-S02"],
        ["a-very-long-name-1-of-a-section", "a-very-long-name-2-of-a-section"],
    ]


def test_a_late_event_is_put_where_it_belongs(browser: Browser, lab: LiveLab) -> None:
    def event(number: int, at_s: int, text: str) -> dict[str, object]:
        return {"number": number, "at_s": at_s, "source": "lab", "tone": "neutral", "text": text, "reveals": None}

    told = [
        [event(1, 1000, "first"), event(2, 3000, "third")],
        [event(3, 2000, "second, but late"), event(4, 3000, "fourth")],
    ]

    def answer(route: Route) -> None:
        after = int(route.request.url.partition("after=")[2])
        news = told[0] if after == 0 else told[1] if after == 2 else []
        route.fulfill(json=news)

    with browser.new_context() as window:
        page = window.new_page()
        page.route("**/api/events*", answer)
        page.goto(lab.url)
        expect(page.locator("#events li span:last-child")).to_have_text(
            ["fourth", "third", "second, but late", "first"], timeout=PATIENCE_S * 1000
        )


def test_answers_that_are_none_are_told_and_the_exercise_goes_on(browser: Browser, lab: LiveLab) -> None:
    # The browser's console tells of every answer that is a refusal.
    with opened(browser, lab.url) as (page, _):
        _answer_badly(page, lab)


def _answer_badly(page: Page, lab: LiveLab) -> None:
    page.get_by_role("button", name="Phantom outage").click()
    page.get_by_label("How many of the silent customers").fill("many")
    page.get_by_role("button", name="Answer").click()
    expect(page.locator("#alert")).to_contain_text("'many' is no whole number")
    expect(page.locator("#alert")).to_contain_text("There is no answer yet")
    expect(page.get_by_role("dialog")).to_be_hidden()
    assert lab.state()["exercise"]["name"] == "phantom-outage"
    page.get_by_role("button", name="Give up").click()
    expect(page.locator("#exercise-banner")).to_be_hidden()


def test_who_has_no_token_is_told_where_to_find_it(browser: Browser, lab: LiveLab) -> None:
    with browser.new_context() as window:
        page = window.new_page()
        page.goto(lab.root)
        expect(page.locator("#lab-banner")).to_contain_text("Open the address that `amilab up` has printed")
        page.goto(lab.url)
        page.locator("html[data-ready]").wait_for(state="attached")
        assert page.url == f"{lab.root}/", "the token does not stay in the address"
        again = window.new_page()
        again.goto(lab.root)
        again.locator("html[data-ready]").wait_for(state="attached")
        assert window.cookies() == []


def test_the_end_of_a_lab_and_its_loss(browser: Browser) -> None:
    text = scenario_text(meters=30, duration="1h")
    with (
        live_lab(text) as ending,
        live_lab(text) as killed,
        opened(browser, ending.url) as (end, _),
        opened(browser, killed.url) as (loss, _),
    ):
        for page in (end, loss):
            expect(page.locator("#lab-banner")).to_be_hidden()
        end.evaluate("location.hash = 'amilab-operations'")
        expect(end.locator('.panel[data-panel="reads"]')).to_have_attribute(
            "data-state", "data", timeout=PATIENCE_S * 1000
        )
        killed.command.process.kill()
        expect(loss.locator("#lab-banner")).to_contain_text("The lab does not answer since", timeout=PATIENCE_S * 1000)
        expect(loss.locator("#lab-banner")).to_contain_text(re.compile(r"Trying again in \d+ s"))
        expect(loss.get_by_role("button", name="Try now")).to_be_visible()
        assert loss.locator("#disturb").evaluate("each => each.inert")
        ending.command.process.send_signal(signal.SIGINT)
        banner = end.locator("#lab-banner")
        expect(banner).to_contain_text("The lab has ended: PASSED, ", timeout=2 * PATIENCE_S * 1000)
        assert ending.command.end() == 0
        expect(banner).to_contain_text("report.html")
        # What was there stays, and more can be said of the end than that it is gone.
        expect(end.locator('.panel[data-panel="reads"]')).to_have_attribute("data-state", "data")
        end.get_by_role("link", name="Verdict", exact=True).click()
        expect(end.get_by_role("heading", name="The verdict", exact=True)).to_be_visible()
        expect(end.locator("#verdict-body .stamp")).to_have_text("PASSED")
        end.get_by_role("link", name="Outages", exact=True).click()
        expect(end.locator('.panel[data-panel="open"]')).to_contain_text("The lab had ended before this was looked at")
        expect(end.locator("#alert")).to_be_hidden()
        expect(end.locator("#lab-banner")).to_contain_text("The lab has ended")
