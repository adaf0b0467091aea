from __future__ import annotations

import resource
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from meters.device.memory import Memory
from meters.device.outcomes import Outcome
from meters.device.records import Event, IntervalRecord
from meters.device.state import METER_STATE
from meters.errors import MemoryFailedError, MemoryFullError

NOBODY = np.array([], dtype=np.intp)


def record(start_s: int, meter: int) -> IntervalRecord:
    values: dict[str, Any] = dict(zip(IntervalRecord._fields, range(len(IntervalRecord._fields)), strict=True))
    stamps = {"window_start_s": start_s + 0.25, "window_end_s": start_s + 900.25, "recorded_at_s": start_s + 901}
    return IntervalRecord(**values | stamps | {"interval_start_s": start_s, "meter": meter})


def state(count: int) -> np.ndarray:
    made = np.zeros(count, dtype=METER_STATE)
    made["boundary"] = np.arange(count)
    made["clock_offset_s"] = 0.25
    return made


def test_what_was_committed_is_there_after_reopening(tmp_path: Path) -> None:
    path = tmp_path / "shard.db"
    memory = Memory(path, identity={"seed": 1})
    assert memory.restore() is None
    before = state(150)
    event = Event(3, 1, "last_gasp", 5, 5.5, '{"down_at":"x"}')
    memory.commit(
        900,
        before,
        np.arange(150),
        intervals=[record(0, 3), record(900, 3), record(900, 4)],
        events=[event],
        frame=b"f",
    )
    before["boundary"][70] = 999
    memory.commit(1800, before, np.array([70]))
    memory.close()
    memory = Memory(path, identity={"seed": 1})
    kept = memory.restore()
    assert kept is not None
    assert (kept.now_s, kept.frame) == (1800, b"f")
    assert (kept.state == before).all()
    assert memory.intervals(3, [0, 900, 1800]) == [record(0, 3), record(900, 3)]
    assert memory.intervals(4, [0]) == []
    assert memory.events_after(3, 0) == [event]
    assert memory.events_after(3, 1) == []
    assert [row for records in memory.all_intervals(2) for row in records.tolist()] == [
        record(0, 3),
        record(900, 3),
        record(900, 4),
    ]
    memory.close()


def test_the_outcomes_of_the_last_64_commands_are_there_after_reopening(tmp_path: Path) -> None:
    path = tmp_path / "shard.db"
    memory = Memory(path, identity={})

    def outcome(meter: int, counter: int) -> Outcome:
        return Outcome(f"{meter}-{counter}", "register.read", {}, counter, {"import_wh": counter})

    for meter, last in ((0, 64), (1, 100), (2, 1)):
        for counter in range(1, last + 1):
            memory.commit(900, state(3), NOBODY, outcome=(meter, 7 * counter, outcome(meter, counter)))
    memory.close()
    memory = Memory(path, identity={})
    kept = {
        meter: [counter for counter in range(1, 101) if memory.outcome(meter, f"{meter}-{counter}") is not None]
        for meter in range(3)
    }
    assert kept == {0: list(range(1, 65)), 1: list(range(37, 101)), 2: [1]}
    assert memory.outcome(1, "1-100") == outcome(1, 100)
    assert memory.outcome(0, "1-100") is None
    memory.close()


def test_the_memory_of_another_fleet_is_refused(tmp_path: Path) -> None:
    Memory(tmp_path / "shard.db", identity={"seed": 1}).close()
    with pytest.raises(MemoryFailedError, match=r"shard\.db: is the memory of another fleet"):
        Memory(tmp_path / "shard.db", identity={"seed": 2})


def test_a_memory_in_use_is_refused(tmp_path: Path) -> None:
    memory = Memory(tmp_path / "shard.db", identity={})
    with pytest.raises(MemoryFailedError, match=r"shard\.db: .*locked"):
        Memory(tmp_path / "shard.db", identity={})
    memory.close()


def test_files_that_are_no_memory(tmp_path: Path) -> None:
    (tmp_path / "shard.db").write_bytes(b"not a database at all" * 100)
    with pytest.raises(MemoryFailedError, match=r"shard\.db: .*not a database"):
        Memory(tmp_path / "shard.db", identity={})
    with pytest.raises(MemoryFailedError, match=r"none/shard\.db: .*unable to open"):
        Memory(tmp_path / "none" / "shard.db", identity={})


def test_an_interval_cannot_be_recorded_twice(tmp_path: Path) -> None:
    memory = Memory(tmp_path / "shard.db", identity={})
    memory.commit(900, state(1), NOBODY, intervals=[record(0, 0)])
    with pytest.raises(Exception, match="UNIQUE"):
        memory.commit(900, state(1), NOBODY, intervals=[record(0, 0)])
    memory.commit(1800, state(1), NOBODY, intervals=[record(900, 0)])
    assert len(memory.intervals(0, [0, 900])) == 2
    memory.close()


def fill(memory: Memory) -> int:
    for round_ in range(1000):
        memory.commit(round_ * 900, state(1), NOBODY, intervals=[record(round_ * 900, meter) for meter in range(200)])
    return 1000


def test_a_full_disk_is_named_and_loses_nothing_that_was_committed(small_disk: Path) -> None:
    memory = Memory(small_disk / "shard.db", identity={})
    with pytest.raises(MemoryFullError, match=r"disk/shard\.db: no space left"):
        fill(memory)
    memory.close()
    memory = Memory(small_disk / "shard.db", identity={})
    kept = memory.restore()
    assert kept is not None
    rows = sum(len(rows) for rows in memory.all_intervals(1000))
    assert rows == (kept.now_s // 900 + 1) * 200 > 0


def test_a_file_that_may_not_grow_is_named(tmp_path: Path) -> None:
    """A quota of the process, in a process of its own."""
    script = (
        "import sys; sys.path[:0] = sys.argv[2:]\n"
        "from pathlib import Path\n"
        "import test_memory\n"
        "from meters.errors import MemoryFailedError\n"
        "from meters.device.memory import Memory\n"
        "memory = Memory(Path(sys.argv[1]), identity={})\n"
        "try:\n"
        "    test_memory.fill(memory)\n"
        "except MemoryFailedError as error:\n"
        "    print(error)\n"
    )
    here = Path(__file__).parent

    def limit() -> None:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (1_000_000, 1_000_000))

    done = subprocess.run(
        [sys.executable, "-c", script, str(tmp_path / "shard.db"), str(here), str(here.parents[2])],
        capture_output=True, text=True, timeout=60, preexec_fn=limit, check=False,
    )  # fmt: skip
    assert f"{tmp_path / 'shard.db'}: " in done.stdout, done.stderr
    assert "Traceback" not in done.stderr
