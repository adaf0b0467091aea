"""The discrepancies' filter and its file in a real browser, and the page on a telephone."""

from __future__ import annotations

import csv
import io
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, sync_playwright

from lab.report import write_report
from lab.verdict.judge_files import judge_run
from tests import left_out
from tests.lab.report import surroundings
from tests.lab.report.test_evidence import EVENTS, row_of, two_vendors
from tests.lab.verdict.synthetic import STEP_S, Dark

CHROMIUM = next((path for name in ("chromium", "chromium-browser") if (path := shutil.which(name))), None)
pytestmark = left_out.unless(CHROMIUM, *left_out.CHROMIUM)
FORMULA = "=HYPERLINK(0)"


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Lost reads of two vendors, one meter dark, one with a formula for a serial; altered ones of another."""
    run = two_vendors(points=12, intervals=20, darks=(Dark(0, 2, 5, 8),))
    run.drop("stored", [row_of(run, "stored", point, interval) for point, interval in ((0, 4), (3, 5), (9, 5), (9, 6))])
    for table in (run.fleet, run.journal, run.stored):
        table["serial"] = table["serial"].astype(object)
        table["serial"][table["serial"] == "AMI00000009"] = FORMULA
    run.stored["import_wh"][row_of(run, "stored", 10, 3)] += 4
    run_dir = run.write(tmp_path_factory.mktemp("filter") / "run")
    surroundings.write_geography(run_dir, list(run.fleet["usage_point"]))
    shares = [("1", f"UP{n:05d}", 5.1 * STEP_S, 5.0 * STEP_S, 8.0 * STEP_S, 5.05 * STEP_S) for n in range(2)]
    surroundings.write_detected(run_dir, shares)
    surroundings.write_communication(run_dir, [("UP00003", 5.5 * STEP_S, False)])
    return write_report(run_dir, judge_run(run_dir, run.context()), EVENTS)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


def opened(browser: Browser, report: Path, *, width: int = 1200) -> Page:
    page = browser.new_context(viewport={"width": width, "height": 800}, accept_downloads=True).new_page()
    page.goto(report.as_uri())
    return page


def shown(page: Page) -> int:
    """Findings that can be seen."""
    return page.locator("#discrepancies .finding:visible").count()


def downloaded(page: Page) -> list[dict[str, str]]:
    with page.expect_download() as found:
        page.get_by_role("button", name="Download CSV").click()
    assert found.value.suggested_filename == "discrepancies.csv"
    text = Path(found.value.path()).read_bytes().decode("utf-8-sig")
    return list(csv.DictReader(io.StringIO(text, newline="")))


def test_what_is_chosen_is_shown_and_downloaded(browser: Browser, report: Path) -> None:
    page = opened(browser, report)
    assert (shown(page), len(downloaded(page))) == (5, 5)
    page.locator("[data-role=cause]").select_option("meter dark")
    assert shown(page) == 1
    assert page.locator("[data-role=said]").text_content() == "1 of 5"
    assert [(row["usage_point"], row["cause"]) for row in downloaded(page)] == [("UP00000", "meter dark")]
    page.get_by_role("button", name="Show all").click()
    page.locator("[data-role=kind]").select_option("lost")
    page.locator("[data-role=vendor]").select_option("mesh")
    assert (shown(page), {row["vendor"] for row in downloaded(page)}) == (2, {"mesh"})
    page.get_by_role("button", name="Show all").click()
    page.locator("[data-role=text]").fill("up00003")
    assert shown(page) == 1
    assert page.locator(".causes tbody tr:visible").count() == 1
    assert [row["usage_point"] for row in downloaded(page)] == ["UP00003"]


def test_the_file_of_the_page_is_that_beside_it_and_computes_nothing(browser: Browser, report: Path) -> None:
    rows = downloaded(opened(browser, report))
    beside = csv.DictReader(io.StringIO((report.parent / "discrepancies.csv").read_bytes().decode("utf-8-sig")))
    numbers = ("truth", "journal", "stored", "by")
    told = [{name: float(v) if name in numbers and v else v for name, v in row.items()} for row in beside]
    assert [{name: float(v) if name in numbers and v else v for name, v in row.items()} for row in rows] == told
    assert {row["serial"] for row in rows if row["usage_point"] == "UP00009"} == {"'" + FORMULA}


@pytest.mark.parametrize("width", [320, 400, 1200])
def test_the_page_is_never_wider_than_the_screen(browser: Browser, report: Path, width: int) -> None:
    page = opened(browser, report, width=width)
    page.evaluate("for (const each of document.querySelectorAll('details')) each.open = true")
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    beyond = """() => [...document.querySelectorAll('body *')].filter((each) => {
        const box = each.getBoundingClientRect();
        if (box.width === 0 || box.right <= innerWidth + 1) return false;
        for (let above = each.parentElement; above; above = above.parentElement)
            if (['auto', 'scroll', 'hidden'].includes(getComputedStyle(above).overflowX)) return false;
        return !each.closest('svg');
    }).map((each) => each.outerHTML.slice(0, 80))"""
    assert page.evaluate(beyond) == []
    wide = page.locator(".scroll:visible").evaluate_all(
        "all => all.filter(it => it.scrollWidth > it.clientWidth).length"
    )
    assert wide > 0 or width > 400, "tables scroll by themselves"


def test_without_its_script_everything_is_there(browser: Browser, report: Path) -> None:
    page = browser.new_context(java_script_enabled=False).new_page()
    page.goto(report.as_uri())
    assert page.locator("#discrepancies .filter").is_hidden()
    assert page.locator(".causes tbody tr").count() == 4
