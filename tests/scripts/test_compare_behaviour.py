"""scripts/compare_behaviour.py, on checkouts whose `amilab` leaves ready-made results."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

ROOT = Path(__file__).parents[2]
VERDICT: dict[str, Any] = {
    "passed": True,
    "clock": {"wall_s": 3.0},
    "feeder": {"buses": 3},
    "fleet": {"meters": 2},
    "reads": dict.fromkeys(("expected", "stored", "estimated", "recovered", "late", "lost"), 4),
    "accuracy": {"class_violations": 0},
    "outages": {"injected": 1},
    "criteria": [{"id": "reads.lost", "value": 0, "passed": True}],
}
TRUTH: dict[str, list[Any]] = {
    "usage_point": ["A", "A", "B"],
    "interval_start": [0, 900, 0],
    "import_wh": [1.0, 2.0, None],
}
FRAMES: dict[str, list[Any]] = {
    "sent_at": [5, 5, 7], "serial": ["A", "B", "A"], "direction": [0, 0, 1], "delivery_class": [4, 4, 2],
    "about": [0, 0, 9], "arrived_at": [60, None, 8], "hops": [1, 2, 1], "attempts": [1, 9, 1], "cause": [0, 2, 0],
}  # fmt: skip
COMMAND = """
import shutil, sys
from pathlib import Path

def entry():
    assert sys.argv[1:3] == ["run", "quickstart"], sys.argv
    arguments = dict(zip(sys.argv[3::2], sys.argv[4::2]))
    if (Path(__file__).parent / "broken").exists():
        sys.exit("the broker is missing")
    out = Path(arguments["--out"])
    shutil.copytree(Path(__file__).parent / "result", out / "run")
    (out / "latest").symlink_to("run")
"""


def checkout(root: Path, module: str, verdict: dict[str, Any] = VERDICT, truth: dict[str, list[Any]] = TRUTH) -> Path:
    """:param module: where its command is; that may move."""
    (root / "result").mkdir(parents=True)
    (root / "pyproject.toml").write_text(f'[project.scripts]\namilab = "{module}:entry"\n')
    (root / f"{module}.py").write_text(COMMAND)
    (root / "result" / "verdict.json").write_text(json.dumps(verdict))
    points = pa.array(truth["usage_point"]).dictionary_encode()
    pq.write_table(pa.table(truth | {"usage_point": points}), root / "result" / "truth.parquet")
    return root


def leave_frames(root: Path, frames: dict[str, list[Any]], *, processes: int) -> None:
    """As the result of a checkout, a file for each process of meters."""
    directory = root / "result" / "network"
    directory.mkdir()
    for process in range(processes):
        own = pa.table(frames).take(list(range(process, 3, processes)))
        pq.write_table(own, directory / f"fleet-{process}-mesh.parquet")


def compare(*arguments: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, ROOT / "scripts" / "compare_behaviour.py", *map(str, arguments)],
        capture_output=True,
        text=True,
        check=False,
    )


def test_the_same_results_are_no_difference_wherever_the_command_is(tmp_path: Path) -> None:
    backwards = {name: values[::-1] for name, values in TRUTH.items()}
    slower = VERDICT | {"clock": {"wall_s": 9.0}}
    before = checkout(tmp_path / "before", "old_place")
    after = checkout(tmp_path / "after", "new_place", slower, backwards)
    done = compare(before, after)
    assert done.returncode == 0, done.stdout + done.stderr
    for fleet in ("bakeoff", "mesh", "plc", "cellular"):
        assert done.stdout.count(fleet) == 3, "with each of three seeds"


def test_what_is_only_added_is_said_and_no_difference(tmp_path: Path) -> None:
    criteria = [{"id": "orders.done", "value": 1, "passed": True}, *VERDICT["criteria"]]
    after = checkout(
        tmp_path / "after", "command", VERDICT | {"criteria": criteria}, TRUTH | {"connected_s": [900, 900, 900]}
    )
    done = compare(checkout(tmp_path / "before", "command"), after, "--seeds", "7", "--fleets", "mesh")
    assert done.returncode == 0, done.stdout
    assert "only after: criteria.orders.done.value = 1" in done.stdout
    assert "only after: truth.parquet: column connected_s" in done.stdout


@pytest.mark.parametrize(
    ("verdict", "truth", "said"),
    [
        ({"reads": VERDICT["reads"] | {"expected": 5}}, {}, "reads.expected: 4 before, 5 after"),
        ({"outages": {"injected": 2}}, {}, "outages.injected: 1 before, 2 after"),
        ({"criteria": []}, {}, "criteria.reads.lost.value: 0 before, nothing after"),
        ({}, {"import_wh": [1.0, 2.5, None]}, "truth.parquet: import_wh differs"),
        ({}, {"usage_point": ["A", "A", "C"]}, "truth.parquet: usage_point differs"),
    ],
)
def test_a_difference_is_named_and_is_exit_code_1(
    tmp_path: Path, verdict: dict[str, Any], truth: dict[str, list[Any]], said: str
) -> None:
    before = checkout(tmp_path / "before", "command")
    after = checkout(tmp_path / "after", "command", VERDICT | verdict, TRUTH | truth)
    done = compare(before, after, "--seeds", "7", "--fleets", "mesh")
    assert done.returncode == 1
    assert said in " ".join(done.stdout.split())


def test_what_became_of_frames_is_compared_whatever_the_processes(tmp_path: Path) -> None:
    one, other, late, none = (checkout(tmp_path / name, "command") for name in ("one", "other", "late", "none"))
    leave_frames(one, FRAMES, processes=1)
    leave_frames(other, FRAMES, processes=2)
    leave_frames(late, FRAMES | {"arrived_at": [60, None, 9]}, processes=1)
    case = "--seeds", "7", "--fleets", "mesh"
    assert compare(one, other, *case).returncode == 0
    for before, after, code, said in (
        (one, late, 1, "network/*.parquet: arrived_at differs"),
        (one, none, 1, "network/*.parquet: nothing after"),
        (none, one, 0, "only after: network/*.parquet"),
    ):
        done = compare(before, after, *case)
        assert (done.returncode, said in " ".join(done.stdout.split())) == (code, True), done.stdout


def test_a_run_without_a_verdict_is_a_difference_with_its_words(tmp_path: Path) -> None:
    before, after = checkout(tmp_path / "before", "command"), checkout(tmp_path / "after", "command")
    (after / "broken").touch()
    done = compare(before, after, "--seeds", "7", "--fleets", "mesh")
    assert done.returncode == 1
    assert "the broker is missing" in " ".join(done.stdout.split())


def test_what_is_no_checkout_is_refused(tmp_path: Path) -> None:
    assert compare(tmp_path, tmp_path).returncode == 2
    assert "neither a directory nor a commit" in compare("no-such-commit", tmp_path).stderr
