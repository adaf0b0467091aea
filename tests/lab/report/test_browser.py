"""The page in a real browser: the map's script runs, shows the state at any instant, and nothing else may run."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from lab.report import RunEvent, write_report
from lab.verdict.judge_files import judge_run
from tests import left_out
from tests.lab.report import surroundings
from tests.lab.report.text import first
from tests.lab.verdict.synthetic import START_S, STEP_S, Dark, make_run

BROWSER = next(
    (path for name in ("chromium", "chromium-browser", "google-chrome") if (path := shutil.which(name))), None
)
pytestmark = left_out.unless(BROWSER, *left_out.CHROMIUM)
POINTS, INTERVALS = 40, 12
DARK_FROM_S, DARK_TO_S = 2 * STEP_S, 5 * STEP_S
HEARD, KNOWN, DARK, UNHEARD, PHANTOM, DISCONNECTED = range(6)


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Ten meters dark, known after 66 s; three unheard for a quarter of an hour; one reported dark that is not.

    Four are disconnected for a while, one of them in the dark.
    """
    run = make_run(POINTS, INTERVALS, darks=(Dark(10, 20, 2, 5),))
    run_dir = run.write(tmp_path_factory.mktemp("browser") / "run")
    names = [f"UP{i:05d}" for i in range(POINTS)]
    surroundings.write_geography(run_dir, names)
    shares: list[surroundings.Share] = [
        ("1", n, DARK_FROM_S + 66.0, float(DARK_FROM_S), float(DARK_TO_S), None) for n in names[10:20]
    ]
    shares += [("2", names[30], 7.0 * STEP_S, 7.0 * STEP_S, 8.0 * STEP_S, None)]
    surroundings.write_detected(run_dir, shares)
    silences = [(n, at, on) for n in names[:3] for at, on in ((5.5 * STEP_S, False), (6.5 * STEP_S, True))]
    surroundings.write_communication(run_dir, silences)
    # One from within the outage on, and three at the end.
    apart = [(names[10], 4.0 * STEP_S, DARK_TO_S + 300.0), *((n, 9.0 * STEP_S, None) for n in names[35:38])]
    surroundings.write_disconnections(run_dir, apart)
    events = (RunEvent(START_S + DARK_FROM_S, "outage", "<b>ten</b> dark", START_S + DARK_TO_S),)
    return write_report(run_dir, judge_run(run_dir, run.context()), events).read_text(encoding="utf-8")


def after(page: str, directory: Path, *steps: str, secured: bool = False) -> tuple[list[int], float, str]:
    """The counts by state and the instant [s] that the map shows once `steps` of JavaScript were done, and the DOM.

    Such steps are only possible without the page's content policy; `secured` keeps it.
    """
    if not secured:
        page = re.sub(r'<meta http-equiv="Content-Security-Policy"[^>]*>', "", page)
    driver = "".join(f"{step};" for step in steps)
    (directory / "page.html").write_text(page.replace("</body>", f"<script>{driver}</script></body>"), encoding="utf-8")
    done = subprocess.run(
        [
            *(str(BROWSER), "--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={directory}/profile"),
            *("--virtual-time-budget=3000", "--dump-dom", f"file://{directory}/page.html"),
        ],
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    opening = first(r'<div id="map"[^>]*>', done.stdout).group()
    counts = [int(first(rf'data-count{state}="(\d+)"', opening).group(1)) for state in range(6)]
    return counts, float(first(r'data-time="([\d.]+)"', opening).group(1)), done.stdout


def slide_to(time_s: float) -> str:
    return (
        "{const s = document.querySelector('[data-role=slider]');"
        f"s.value = '{time_s}'; s.dispatchEvent(new Event('input'));}}"
    )


def press(key: str) -> str:
    return (
        "document.querySelector('[data-role=slider]')"
        f".dispatchEvent(new KeyboardEvent('keydown', {{key: '{key}', cancelable: true}}))"
    )


def test_opens_at_the_worst_instant_with_the_counts_of_the_still_map(page: str, tmp_path: Path) -> None:
    counts, time_s, dom = after(page, tmp_path)
    assert counts == [30, 10, 0, 0, 0, 0]
    assert time_s == DARK_FROM_S + 66
    assert 'class="map live"' in dom
    assert "10</b>" in first(r'data-count="dark-known".*', dom).group()
    assert ">00:31:06</span> UTC" in dom


@pytest.mark.parametrize(
    ("time_s", "expected"),
    [
        (0, [40, 0, 0, 0, 0, 0]),
        (DARK_FROM_S + 65, [30, 0, 10, 0, 0, 0]),
        (DARK_TO_S, [39, 0, 0, 0, 0, 1]),
        (6 * STEP_S, [37, 0, 0, 3, 0, 0]),
        (7 * STEP_S, [39, 0, 0, 0, 1, 0]),
        (9 * STEP_S, [37, 0, 0, 0, 0, 3]),
    ],
)
def test_the_slider_shows_the_state_at_its_instant(
    page: str, tmp_path: Path, time_s: float, expected: list[int]
) -> None:
    # there and back: what was replayed has to be undone
    assert after(page, tmp_path, slide_to(10_000), slide_to(time_s))[:2] == (expected, time_s)


def test_keys_step_through_time_and_buttons_jump(page: str, tmp_path: Path) -> None:
    steps = [slide_to(DARK_FROM_S), press("ArrowRight"), press("PageUp"), press("ArrowLeft")]
    assert after(page, tmp_path, *steps)[1] == DARK_FROM_S + 900
    jump = "document.querySelector('[data-jump]').click()"
    assert after(page, tmp_path, slide_to(9000), jump)[1] == DARK_FROM_S
    later = "document.querySelector('[data-role=later]').click()"
    assert after(page, tmp_path, slide_to(0), later)[1] == DARK_FROM_S


def test_a_meter_is_found_and_described(page: str, tmp_path: Path) -> None:
    steps = [
        slide_to(DARK_FROM_S + 100),
        "{const s = document.querySelector('[data-role=search]'); s.value = 'ami00000012';"
        "s.dispatchEvent(new KeyboardEvent('keydown', {key: 'Enter'}));}",
    ]
    dom = after(page, tmp_path, *steps)[2]
    tip = first(r'data-role="tip".*?</div>', dom, flags=re.S).group()
    assert (
        re.sub(r"<[^>]+>", "|", tip)
        .replace("||", "|")
        .endswith("|UP00012|AMI00000012, rl-dsp|transformer T04|dark, and the head-end knows since 00:31:06|")
    )


def test_a_foreign_script_does_not_run(page: str, tmp_path: Path) -> None:
    counts, time_s, dom = after(page, tmp_path, "document.title = 'broken into'", secured=True)
    assert "<title>broken into</title>" not in dom
    assert (counts, time_s) == ([30, 10, 0, 0, 0, 0], DARK_FROM_S + 66)
    assert "<title>broken into</title>" in after(page, tmp_path, "document.title = 'broken into'")[2]
