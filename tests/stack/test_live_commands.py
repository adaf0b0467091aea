"""`amilab up`, `inject` and `exercise` as a user has them: one sees it happen, and the verdict comes at the end."""

from __future__ import annotations

import json
import signal
import socket
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from urllib.parse import quote_from_bytes

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lab.errors import UserError
from tests.stack.command import wait_for
from tests.stack.labs import amilab, scenario_text
from tests.stack.live import PATIENCE_S, LiveLab, live_lab

pytestmark = pytest.mark.timeout(900)

FAST = 120.0
METERS = 60
MIXED = 'preset = "bakeoff"'


@pytest.fixture(scope="module")
def lab() -> Iterator[LiveLab]:
    with live_lab(scenario_text(meters=METERS, duration="1h", fleet=MIXED)) as lab:
        lab.speed(FAST)
        yield lab


@pytest.fixture(autouse=True)
def _undisturbed(lab: LiveLab) -> Iterator[None]:
    """Each test leaves the lab as it was."""
    yield
    if lab.state()["exercise"]:
        lab.client.post("exercises/stop", {})
    if lab.state()["incidents"]:
        # They may end by themselves in this moment.
        with suppress(UserError):
            lab.client.post("inject", {"kind": "restore"})
    lab.until("incidents", [])
    lab.until_counted("dark", 0)
    lab.until_counted("gasped", 0)
    lab.until_counted("offline", 0)


def biggest_transformer(lab: LiveLab) -> tuple[str, int]:
    """That with most meters, and how many."""
    scene = lab.client.get("scene")
    by_number = scene["transformer"]
    number = max(set(by_number), key=by_number.count)
    return scene["transformers"][number]["name"], by_number.count(number)


def test_a_fault_darkens_its_customers_and_the_head_end_finds_it(lab: LiveLab) -> None:
    name, meters = biggest_transformer(lab)
    injected = lab.amilab("inject", "fault", "transformer", name)
    assert injected.returncode == 0, injected.stderr
    assert f"fault: transformer {name}" in injected.stdout
    number = injected.stdout.split()[0]
    lab.until_counted("dark", meters)
    lab.until_counted("out", meters)
    lab.until_told(f"found: transformer {name}")
    assert [each["number"] for each in lab.state()["incidents"]] == [int(number)]
    restored = lab.amilab("inject", "restore", number)
    assert f"over: fault: transformer {name}" in restored.stdout
    lab.until_counted("dark", 0)
    lab.until_told(f"is over: transformer {name}")


def test_one_conductor_can_be_opened_and_closed(lab: LiveLab) -> None:
    """Whom one fault reaches, no other may hit."""
    name, _ = biggest_transformer(lab)
    injected = lab.amilab("inject", "conductor", "N", "transformer", name)
    assert injected.returncode == 0, injected.stderr
    assert f"open neutral: transformer {name} N" in injected.stdout
    assert lab.amilab("inject", "fault", "transformer", name).returncode == 2, "it is broken already"
    assert lab.amilab("inject", "conductor", "PE", "transformer", name).returncode == 2
    restored = lab.amilab("inject", "restore", injected.stdout.split()[0])
    assert f"over: open neutral: transformer {name} N" in restored.stdout


def test_a_fault_may_end_by_itself(lab: LiveLab) -> None:
    name, meters = biggest_transformer(lab)
    lab.amilab("inject", "fault", "transformer", name, "--for", "10min")
    lab.until_counted("dark", meters)
    lab.until_counted("dark", 0)
    lab.until("incidents", [])


def test_a_collector_that_is_cut_off_silences_its_meters_and_darkens_nobody(lab: LiveLab) -> None:
    (collector,) = lab.client.get("scene")["collectors"]
    lost = lab.amilab("inject", "comms-loss", "--collectors", "1")
    assert f"uplink loss: collector {collector['name']}, {len(collector['meters'])} meters" in lost.stdout
    lab.until_counted("offline", len(collector["meters"]))
    assert lab.state()["counts"]["dark"] == 0
    lab.until_told(f"collector {collector['name']} is gone")
    assert lab.amilab("inject", "restore").returncode == 0
    lab.until_counted("offline", 0)


def test_a_technician_disconnects_customers_and_nobody_is_dark(lab: LiveLab) -> None:
    opened = lab.amilab("inject", "relay", "open", "--meters", "5")
    assert "relay open: 5 meters disconnected" in opened.stdout
    lab.until_counted("disconnected", 5)
    assert lab.state()["counts"]["dark"] == 0
    serial = lab.state()["incidents"][0]["stations"][0]
    assert f"relay closed: {serial} connected" in lab.amilab("inject", "relay", "closed", serial).stdout
    lab.until_counted("disconnected", 4)
    assert lab.amilab("inject", "relay", "open", serial, "--for", "5min").returncode == 0
    lab.until_told(f"over: relay open: {serial} disconnected")
    assert "over: relay open: 5 meters" in lab.amilab("inject", "restore").stdout
    lab.until_counted("disconnected", 0)


def test_a_meter_without_a_relay_is_refused_by_name(lab: LiveLab) -> None:
    scene = lab.client.get("scene")
    without = [serial for serial, has in zip(scene["serials"], scene["relay"], strict=True) if not has]
    refused = lab.amilab("inject", "relay", "open", without[0], "AMI99999999")
    assert refused.returncode == 2
    assert f"{without[0]} has no relay" in refused.stderr
    assert "no meter is called AMI99999999" in refused.stderr
    assert lab.amilab("inject", "relay", "closed").returncode == 2, "none is open"


def test_meters_reboot_and_parts_are_killed(lab: LiveLab) -> None:
    serial = lab.client.get("scene")["serials"][0]
    assert f"reboot: {serial}" in lab.amilab("inject", "reboot", serial).stdout
    lab.until_told(f"reboot: {serial}")
    head = lab.command.part("headend")
    assert head is not None
    assert "SIGKILL: headend" in lab.amilab("inject", "kill", "headend", "--down", "2min").stdout
    lab.until_told("over: SIGKILL: headend")
    back = lab.command.part("headend")
    assert back is not None
    assert back.pid != head.pid


@pytest.mark.parametrize("part", ["fleet", "database", "broker"])
def test_whatever_is_killed_comes_back_and_the_verdict_waits_for_it(lab: LiveLab, part: str) -> None:
    lab.amilab("inject", "kill", part, "--down", "3min")
    lab.until_told(f"over: SIGKILL: {part}")
    lab.until("incidents", [])
    assert "is dead already" not in lab.amilab("inject", "kill", part, "--down", "1min").stderr
    lab.until("incidents", [])


@pytest.mark.parametrize(
    ("words", "faults"),
    [
        (("inject", "fault", "transformer", "nowhere"), ["has no transformer 'nowhere'"]),
        (("inject", "fault", "toaster"), ["'transformer', 'section', 'line' or 'service'"]),
        (("inject", "fault", "--customers", "many"), ["it must be a range"]),
        (("inject", "comms-loss", "AMI99999999", "COL9999"), ["called AMI99999999", "called COL9999"]),
        (("inject", "comms-loss", "--meters", "1000000"), ["1,000,000 meters are wanted"]),
        (("inject", "restore", "999"), ["disturbance 999 is not active; active is: nothing"]),
        (
            (
                "inject",
                "restore",
            ),
            ["nothing is disturbed"],
        ),
        (("exercise", "start", "knitting"), ["there is no exercise 'knitting'"]),
        (("exercise", "answer", "device"), ["'device' is no KEY=ANSWER"]),
        (("exercise", "show"), ["no exercise goes on"]),
    ],
)
def test_what_cannot_be_is_refused_with_a_reason(lab: LiveLab, words: tuple[str, ...], faults: list[str]) -> None:
    refused = lab.amilab(*words)
    assert refused.returncode == 2
    for fault in faults:
        assert fault in refused.stderr
    assert "Traceback" not in refused.stderr
    assert lab.state()["incidents"] == []


def test_an_exercise_hides_the_truth_and_is_scored_in_the_terminal(lab: LiveLab) -> None:
    begun = lab.amilab("exercise", "start", "which-collector-died")
    assert "Which collector died?" in begun.stdout
    hidden = lab.state()
    assert hidden["hidden"] == ["collectors", "truth"]
    assert (hidden["incidents"], hidden["verdict"], hidden["counts"]["dark"]) == ([], None, 0)
    (collector,) = lab.client.get("scene")["collectors"]
    lab.until_counted("offline", len(collector["meters"]))
    assert not [event for event in lab.events() if "uplink loss" in event or "collector COL" in event]
    refused = lab.amilab("inject", "restore")
    assert "the lab is the trainer's" in refused.stderr
    assert "Which collector is it?" in lab.amilab("exercise", "show").stdout
    scored = lab.amilab(
        "exercise",
        "answer",
        f"collector={collector['name'].lower()}",
        f"meters={len(collector['meters'])}",
        "readings=they are lost",
    )
    assert "7 of 10 points" in scored.stdout, scored.stdout + scored.stderr
    assert f"what happened: uplink loss: collector {collector['name']}" in scored.stdout
    lab.until("hidden", [])
    lab.until_told("over: uplink loss: collector")
    lab.until_counted("offline", 0)


def test_an_exercise_begins_with_nothing_wrong_and_keeps_everything_else_away(lab: LiveLab) -> None:
    serial = lab.client.get("scene")["serials"][0]
    lab.amilab("inject", "comms-loss", serial)
    lab.until_told(f"uplink loss: {serial}")
    refused = lab.amilab("exercise", "start", "phantom-outage")
    assert f"the lab is disturbed: uplink loss: {serial}" in refused.stderr
    lab.amilab("inject", "restore")
    lab.until("incidents", [])
    assert lab.amilab("exercise", "start", "phantom-outage").returncode == 0
    assert "an exercise goes on" in lab.amilab("inject", "fault").stderr


def test_find_the_fault_hides_what_the_head_end_concludes(lab: LiveLab) -> None:
    before = lab.client.get("events")[-1]["number"]

    def told(what: str) -> list[str]:
        return [event["text"] for event in lab.client.get(f"events?after={before}") if what in event["text"]]

    assert lab.amilab("exercise", "start", "find-the-fault").returncode == 0
    lab.until("hidden", ["outages", "truth"])
    refused = httpx.get(
        f"{lab.root}/api/dashboards/amilab-outages/panels/outages", headers={"X-Amilab-Token": lab.token}
    )
    assert refused.status_code == 403
    assert "hidden while the exercise goes on" in refused.json()["faults"][0]
    # The fault comes after a minute, and an outage is found well within ten.
    until_s = lab.state()["exercise"]["begun_s"] + 600
    lab.speed(None)
    wait_for(lambda: lab.state()["completed_s"] > until_s, "time to go on", PATIENCE_S)
    lab.speed(FAST)
    assert not told("found: ")
    assert not told("fault: ")
    assert lab.state()["counts"]["out"] == 0
    assert lab.amilab("exercise", "stop").returncode == 0
    lab.until("hidden", [])
    assert told("fault: section")


NASTY = st.one_of(
    st.sampled_from([b"", b"NaN", b"-1", b"1e999", b"9" * 30, b"9" * 5_000, b"\0", b"\xed\xa0\x80", b"\xff", b"true"]),
    st.sampled_from([b"'; DROP TABLE end_device; --", b"${x}", b"$__timeFrom()", b"../../etc/passwd", b"x" * 3_000]),
    st.binary(max_size=40),
    st.integers().map(lambda number: str(number).encode()),
)
GETS = [
    "api/events", "api/state", "api/map", "api/scene", "api/dashboards", "api/exercises",
    "api/dashboards/amilab-meter/choices", "api/dashboards/amilab-meter/panels/energy",
    "api/dashboards/amilab-operations/panels/reads_over_time", "api/dashboards/%/choices", "api/dashboards/%/panels/%",
    "api/dashboards/amilab-operations/panels/%", "static/%", "%", "api/%",
]  # fmt: skip
PARAMETERS = ["after", "span_s", "households", "var-usage_point", "var-vendor", "var-", "token", "x"]
POSTS = ["inject", "speed", "exercises/answer", "exercises/%"]
VALUES = st.recursive(
    st.one_of(
        st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=20),
        st.sampled_from([10**30, -1, 1e308, "\ud800", "\0", "x" * 5_000, "transformer", "fault"]),
    ),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)  # fmt: skip
KEYS = st.sampled_from(
    ["device", "id", "customers", "for_s", "stations", "meters", "collectors", "number", "answers", "speed"]
)
BODIES = st.one_of(
    st.builds(
        lambda kind, more: json.dumps({"kind": kind, **more}).encode(),
        st.sampled_from(["fault", "comms-loss", "reboot", "restore", "nothing", None]),
        st.dictionaries(KEYS, VALUES, min_size=1, max_size=3),
    ),
    st.dictionaries(st.sampled_from(["speed", "answers"]), VALUES).map(lambda body: json.dumps(body).encode()),
    st.binary(max_size=60),
    st.sampled_from(
        [b"[" * 20_000, b"{}", b"null", b'{"answers": {"\\ud800": "\\ud800"}}', b'{"speed": NaN}', b'{"speed": 1e999}']
    ),
)


def _is_clean(answer: httpx.Response) -> None:
    assert answer.status_code < 500, answer.text
    assert "Traceback" not in answer.text
    if answer.status_code >= 400 and answer.request.url.path.startswith("/api/"):
        assert all(fault.strip() for fault in answer.json()["faults"]), "it says why"


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.sampled_from(GETS), NASTY, st.lists(st.tuples(st.sampled_from(PARAMETERS), NASTY), max_size=3))
def test_no_question_is_answered_by_a_failure(
    lab: LiveLab, path: str, part: bytes, query: Sequence[tuple[str, bytes]]
) -> None:
    path = path.replace("%", quote_from_bytes(part[:200], safe=""))
    asked = "&".join(f"{name}={quote_from_bytes(value, safe='')}" for name, value in query)
    _is_clean(httpx.get(f"{lab.root}/{path}?{asked}", headers={"X-Amilab-Token": lab.token}, timeout=60))


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.sampled_from(POSTS), NASTY, BODIES)
def test_no_order_is_answered_by_a_failure(lab: LiveLab, path: str, part: bytes, body: bytes) -> None:
    headers = {"X-Amilab-Token": lab.token, "Content-Type": "application/json"}
    path = path.replace("%", quote_from_bytes(part[:200], safe=""))
    _is_clean(httpx.post(f"{lab.root}/api/{path}", content=body, headers=headers, timeout=60))


def test_none_of_that_was_told_in_the_terminal(lab: LiveLab) -> None:
    lab.speed(FAST)
    lab.until("lagging", "")
    assert "Traceback" not in lab.command.stdout + lab.command.stderr


def test_the_last_that_the_page_is_told_is_the_verdict() -> None:
    with live_lab(scenario_text(meters=30, duration="1h")) as lab:
        states = []
        with httpx.stream(
            "GET", f"{lab.root}/api/stream", headers={"X-Amilab-Token": lab.token}, timeout=PATIENCE_S
        ) as told:
            for line in told.iter_lines():
                if line.startswith("data:"):
                    states.append(json.loads(line[5:]))
                    if len(states) == 1:
                        lab.command.process.send_signal(signal.SIGINT)
        assert lab.command.end() == 0, lab.command.stdout + lab.command.stderr
        assert "judging" in [state["phase"] for state in states]
        last = states[-1]
        assert last["phase"] == "ended"
        assert last["ended"]["passed"]
        count = len(last["verdict"]["criteria"])
        assert last["ended"]["words"] == f"PASSED, {count} of {count}"
        assert last["ended"]["report"].endswith("report.html")
        written = json.loads((lab.command.directory / "verdict.json").read_text())
        assert [each["id"] for each in last["verdict"]["criteria"]] == [each["id"] for each in written["criteria"]]


def test_ctrl_c_restores_lets_meters_report_and_prints_the_verdict() -> None:
    with live_lab(scenario_text(meters=30, duration="1h")) as lab:
        name, _ = biggest_transformer(lab)
        lab.amilab("inject", "fault", "transformer", name)
        lab.speed(FAST)
        lab.until_told(f"found: transformer {name}")
        ports = lab.command.ports()
        lab.command.process.send_signal(signal.SIGINT)
        assert lab.command.end() == 0, lab.command.stdout + lab.command.stderr
        assert f"restored at the end: fault: transformer {name}" in lab.command.stdout
        assert "PASSED" in lab.command.stdout
        assert lab.command.left_behind(ports) == []
        verdict = json.loads((lab.command.directory / "verdict.json").read_text())
        assert verdict["outages"]["injected"] + verdict["outages"]["momentary_injected"] == 1
        assert not (lab.command.directory / "live.json").exists()
        assert not (lab.command.directory / "so-far").exists()
        assert f"fault: transformer {name}" in (lab.command.directory / "run.json").read_text()


def test_a_second_ctrl_c_ends_it_at_once() -> None:
    with live_lab(scenario_text(meters=30, duration="1h", settle="6h")) as lab:
        ports = lab.command.ports()
        lab.command.process.send_signal(signal.SIGINT)
        lab.command.until_printed("living on to")
        lab.command.process.send_signal(signal.SIGINT)
        assert lab.command.end() in (130, 0), "it may have been over just before"
        assert lab.command.left_behind(ports) == []
        assert "Traceback" not in lab.command.stderr


def test_the_verdict_so_far(tmp_path: Path) -> None:
    with live_lab(scenario_text(meters=30, duration="1h", settle="15min"), history="3h") as lab:
        lab.speed(FAST)
        lab.until("judging", False)
        verdict = lab.state()["verdict"]
        assert verdict["passed"]
        assert verdict["until_s"] <= lab.state()["now_s"] - 900, "only what has had its chance to be stored"
        assert verdict["expected"] == verdict["stored"] > 0


def test_a_port_that_is_taken_is_said_before_anything_is_started(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        process = amilab("up", "--port", str(port), "--speed", "-1", "--out", tmp_path)
        _, told = process.communicate(timeout=60)
        assert process.returncode == 2
        assert "--speed is -1" in told
        process = amilab("up", "--port", str(port), "--out", tmp_path)
        _, told = process.communicate(timeout=60)
        assert process.returncode == 2
    assert f"cannot listen on 127.0.0.1:{port}" in told
    assert list(tmp_path.iterdir()) == []


def test_without_a_lab_commands_say_how_to_start_one(tmp_path: Path) -> None:
    process = amilab("inject", "fault", "--run", tmp_path)
    _, told = process.communicate(timeout=60)
    assert process.returncode == 2
    assert "amilab up" in told
