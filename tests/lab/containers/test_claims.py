"""Parts are taken by whoever comes first, and free again when he is gone, however he went."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

from lab.containers.claims import claim_one
from lab.containers.plan import LOCKS, Plan, read_plan, withdraw_plan, write_plan

HOLD = """
import sys
from pathlib import Path
from lab.containers.claims import claim_one
claim = claim_one(Path(sys.argv[1]), ["a", "b"])
print(claim.name, flush=True)
sys.stdin.read()
"""


def plan_of(directory: Path, *names: str) -> Path:
    write_plan(directory, Plan("run", "tcp://127.0.0.1:1", {"meters": names}), lambda _path: None)
    return directory / LOCKS


def test_each_part_has_one_holder(tmp_path: Path) -> None:
    locks = plan_of(tmp_path, "a", "b")
    first, second = claim_one(locks, ["a", "b"]), claim_one(locks, ["a", "b"])
    assert first is not None
    assert second is not None
    assert (first.name, second.name) == ("a", "b")
    assert claim_one(locks, ["a", "b"]) is None
    first.close()
    again = claim_one(locks, ["a", "b"])
    assert again is not None
    assert again.name == "a"


def test_the_part_of_a_killed_holder_is_free(tmp_path: Path) -> None:
    locks = plan_of(tmp_path, "a", "b")
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, str(locks)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "a\n"
        beside = claim_one(locks, ["a", "b"])
        assert beside is not None
        assert beside.name == "b"
        holder.send_signal(signal.SIGKILL)
        holder.wait()
    after = claim_one(locks, ["a", "b"])
    assert after is not None
    assert after.name == "a"


def test_a_plan_is_read_whole_or_not_at_all(tmp_path: Path) -> None:
    assert read_plan(tmp_path) is None
    plan_of(tmp_path, "a")
    found = read_plan(tmp_path)
    assert found is not None
    assert (found.run, list(found.parts["meters"])) == ("run", ["a"])
    withdraw_plan(tmp_path)
    assert read_plan(tmp_path) is None
    assert claim_one(tmp_path / LOCKS, ["no such part"]) is None


def test_a_container_needs_no_more_packages_than_every_image_has() -> None:
    """Each image has what its own parts need (compose/requirements); this is what waits for a part in all of them."""
    program = "import sys, lab.containers.member; print(*{name.partition('.')[0] for name in sys.modules})"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    brought = set(done.stdout.split()) & {"dotenv", "pydantic", "cryptography", "psycopg", "rich", "typer", "numpy"}
    assert brought == set()
