"""No process, no socket, no directory is left, however a run ends; and a crash is told with its last words."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
import textwrap
import threading
import time
import uuid
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest

from lab.errors import EXIT_PART_FAILED, PartFailed
from lab.processes.reaper import Estate, ProcessId, Reaper, carries_mark, is_alive, status_of
from lab.processes.supervisor import Identity, ProcessSpec, Supervisor
from tests import left_out

DEADLINE_S = 30
AS_ROOT = pytest.mark.skipif(os.geteuid() != 0, reason=left_out.reason(*left_out.TWO_USERS))


@pytest.fixture
async def supervisor(tmp_path: Path) -> AsyncIterator[Supervisor]:
    with Reaper(uuid.uuid4().hex) as reaper:
        made = Supervisor(tmp_path / "logs", reaper)
        yield made
        await made.stop_all()


def python(name: str, program: str, **more: Any) -> ProcessSpec:
    return ProcessSpec(name, [sys.executable, "-u", "-S", "-c", textwrap.dedent(program)], **more)


FOREVER = "import time\nprint('up')\nwhile True: time.sleep(60)"


def identity(pid: int) -> ProcessId:
    status = status_of(pid)
    assert status is not None
    return status.identity


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(DEADLINE_S):
        while not condition():  # noqa: ASYNC110 - conditions of other processes, which set no event of ours
            await asyncio.sleep(0.01)


async def test_an_unexpected_end_is_told_with_the_last_twenty_lines(supervisor: Supervisor) -> None:
    await supervisor.start(python("part", "for n in range(50): print('line', n)\nraise SystemExit(7)"))
    with pytest.raises(PartFailed) as failure:
        await asyncio.wait_for(supervisor.watch(), DEADLINE_S)
    assert (failure.value.name, failure.value.returncode) == ("part", 7)
    assert failure.value.log_tail == tuple(f"line {n}" for n in range(30, 50))
    assert "part ended with exit code 7" in str(failure.value)


async def test_an_unexpected_end_without_an_error_is_a_failure_too(supervisor: Supervisor) -> None:
    await supervisor.start(python("part", "print('bye')"))
    with pytest.raises(PartFailed, match="exit code 0"):
        await asyncio.wait_for(supervisor.watch(), DEADLINE_S)


async def test_a_death_by_signal_is_told(supervisor: Supervisor) -> None:
    pid = await supervisor.start(python("part", FOREVER))
    os.kill(pid, signal.SIGSEGV)
    with pytest.raises(PartFailed, match="part was killed by signal 11"):
        await asyncio.wait_for(supervisor.watch(), DEADLINE_S)


async def test_what_was_asked_for_is_no_failure(supervisor: Supervisor) -> None:
    for name in ("killed", "stopped"):
        await supervisor.start(python(name, FOREVER))
    await supervisor.start(python("done", "raise SystemExit(3)"))
    assert await supervisor.wait("done") == 3
    await supervisor.kill("killed")
    await supervisor.stop("stopped")
    assert supervisor.names == ()
    await supervisor.start(python("after", "raise SystemExit(4)"))
    with pytest.raises(PartFailed, match=r"^after "):
        await asyncio.wait_for(supervisor.watch(), DEADLINE_S)


async def test_restart_runs_the_same_again_and_keeps_the_log(supervisor: Supervisor) -> None:
    first = await supervisor.start(python("part", FOREVER))
    await until(lambda: supervisor.log_tail("part") == ["up"])
    await supervisor.kill("part")
    assert not supervisor.is_running("part")
    second = await supervisor.restart("part")
    assert second == supervisor.pid("part") != first
    await until(lambda: supervisor.log_tail("part") == ["up", "up"])
    with pytest.raises(ValueError, match="running already"):
        await supervisor.restart("part")


async def test_who_is_ended_by_the_reaper_is_told_of_without_a_fault(tmp_path: Path) -> None:
    """As after a second Ctrl-C, which waits for nobody."""
    with Reaper(uuid.uuid4().hex) as reaper:
        supervisor = Supervisor(tmp_path / "logs", reaper)
        await supervisor.start(python("part", FOREVER))
    with pytest.raises(PartFailed, match="part was killed by signal 9"):
        await asyncio.wait_for(supervisor.watch(), DEADLINE_S)


async def test_a_program_that_is_not_there(supervisor: Supervisor) -> None:
    with pytest.raises(PartFailed, match="cannot execute /no/such/program"):
        await supervisor.start(ProcessSpec("part", ["/no/such/program"]))
    assert supervisor.names == ()


async def test_who_does_not_listen_is_killed(supervisor: Supervisor) -> None:
    deaf = "import signal, time\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)\nprint('up')\nwhile True: time.sleep(60)"
    pid = await supervisor.start(python("deaf", deaf, grace_s=0.2))
    await until(lambda: supervisor.log_tail("deaf") == ["up"])
    process = identity(pid)
    await supervisor.stop("deaf")
    assert not is_alive(process)


async def test_stop_all_ends_the_last_started_first(supervisor: Supervisor, tmp_path: Path) -> None:
    says_when = """
        import pathlib, signal, sys, time
        def leave(*_):
            with open({path!r}, "a") as order: order.write({name!r} + " ")
            sys.exit()
        signal.signal(signal.SIGTERM, leave)
        print("up")
        while True: time.sleep(60)
    """
    order = tmp_path / "order"
    for name in ("database", "broker", "headend"):
        await supervisor.start(python(name, says_when.format(path=str(order), name=name)))
    await until(lambda: all(supervisor.log_tail(name) == ["up"] for name in supervisor.names))
    await supervisor.stop_all()
    assert order.read_text().split() == ["headend", "broker", "database"]


# A child in the parent's session, and one with a session of its own as PostgreSQL's backends have.
FAMILY = """
    import os, subprocess, sys, time
    nap = [sys.executable, "-S", "-c", "import time; time.sleep(600)"]
    family = [subprocess.Popen(nap).pid, subprocess.Popen(nap, start_new_session=True).pid]
    print(*family)
    while True: time.sleep(60)
"""


@pytest.mark.parametrize("end", ["kill", "stop"])
async def test_no_grandchild_survives(supervisor: Supervisor, end: str) -> None:
    await supervisor.start(python("parent", FAMILY))
    await until(lambda: len(supervisor.log_tail("parent")) == 1)
    family = [identity(int(pid)) for pid in supervisor.log_tail("parent")[0].split()]
    await getattr(supervisor, end)("parent")
    assert not [process for process in family if is_alive(process)]


async def test_no_grandchild_of_the_session_survives_a_crash(supervisor: Supervisor) -> None:
    pid = await supervisor.start(python("parent", FAMILY))
    await until(lambda: len(supervisor.log_tail("parent")) == 1)
    in_session, _ = (identity(int(number)) for number in supervisor.log_tail("parent")[0].split())
    os.kill(pid, signal.SIGKILL)
    with pytest.raises(PartFailed):
        await asyncio.wait_for(supervisor.watch(), DEADLINE_S)
    assert not is_alive(in_session)


async def test_ready_is_waited_for_and_a_crash_is_not(supervisor: Supervisor) -> None:
    asked = 0

    async def third_time() -> bool:
        nonlocal asked
        asked += 1
        return asked == 3

    async def never() -> bool:
        await asyncio.Event().wait()
        return False

    await supervisor.start(python("slow", FOREVER))
    await supervisor.until_ready("slow", third_time)
    assert asked == 3
    with pytest.raises(PartFailed, match="slow did not become ready in time"):
        await supervisor.until_ready("slow", never, timeout_s=0.1)
    await supervisor.start(python("dead", "print('no port'); raise SystemExit(5)"))
    with pytest.raises(PartFailed, match=r"dead ended with exit code 5\n  \| no port"):
        await supervisor.until_ready("dead", never)


async def test_processes_do_not_share_the_terminals_session(supervisor: Supervisor) -> None:
    pid = await supervisor.start(python("part", FOREVER))
    status = status_of(pid)
    assert status is not None
    assert status.session == pid != os.getsid(0)


def test_a_pid_used_again_is_not_killed() -> None:
    bystander = subprocess.Popen([sys.executable, "-S", "-c", "import time; time.sleep(600)"])
    try:
        real = identity(bystander.pid)
        estate = Estate(mark="no such mark", processes={ProcessId(real.pid, real.start - 1): False})
        estate.settle()
        assert is_alive(real)
        estate.apply({"own": list(real), "quit": False})
        estate.settle()
        assert not is_alive(real)
    finally:
        bystander.kill()
        bystander.wait()


def test_only_directories_of_a_run_are_removed(tmp_path: Path) -> None:
    precious = tmp_path / "precious"
    precious.mkdir()
    (tmp_path / "amilab-link").symlink_to(precious)
    with Reaper(uuid.uuid4().hex) as reaper:
        for path in (precious, tmp_path / "amilab-link"):
            with pytest.raises(ValueError, match="not a private directory"):
                reaper.own_directory(path)
    assert precious.exists()


def test_a_kept_directory_stays(tmp_path: Path) -> None:
    with Reaper(uuid.uuid4().hex) as reaper:
        for name in ("amilab-kept", "amilab-gone"):
            (tmp_path / name).mkdir()
            reaper.own_directory(tmp_path / name)
        reaper.keep_directory(tmp_path / "amilab-kept")
    assert [path.name for path in tmp_path.iterdir()] == ["amilab-kept"]


def test_the_reaper_does_not_hear_what_the_terminal_says() -> None:
    with Reaper(uuid.uuid4().hex) as reaper:
        process = identity(reaper.pid)
        assert os.getsid(reaper.pid) != os.getsid(0)
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT):
            wait_for_ignored(reaper.pid, number)
            os.kill(reaper.pid, number)
        assert is_alive(process)


def wait_for_ignored(pid: int, number: signal.Signals) -> None:
    deadline = time.monotonic() + DEADLINE_S
    while time.monotonic() < deadline:
        fields = dict(
            line.split(":\t", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines() if ":\t" in line
        )
        if int(fields["SigIgn"], 16) >> (number - 1) & 1:
            return
        time.sleep(0.01)
    raise AssertionError(f"{number.name} is not ignored")


# A lab of its own: database, broker and a part with children, started in the order of a run.
LAB = """
    import asyncio, json, os, sys, uuid
    from pathlib import Path
    import psycopg
    from lab.processes.reaper import Reaper
    from lab.services.broker import EmbeddedBroker
    from lab.services.broker_config import head_end_user
    from lab.services.host import make_private_directory
    from lab.services.postgres import EmbeddedPostgres
    from lab.processes.supervisor import ProcessSpec, Supervisor

    async def main(logs, part):
        with Reaper(uuid.uuid4().hex) as reaper:
            work = make_private_directory(reaper)
            supervisor = Supervisor(Path(logs), reaper)
            postgres = EmbeddedPostgres(work, supervisor)
            broker = EmbeddedBroker(work, supervisor, [head_end_user("g1", "hes", "pw")])
            await asyncio.gather(postgres.start(), broker.start())
            await supervisor.start(ProcessSpec("part", [sys.executable, "-u", "-S", "-c", part]))
            connection = await psycopg.AsyncConnection.connect(postgres.url)  # a backend that is busy when the lab dies
            busy = asyncio.create_task(connection.execute("SELECT pg_sleep(600)"))
            while not supervisor.log_tail("part"):
                await asyncio.sleep(0.01)
            ports = [postgres.port, broker.port]
            print(json.dumps({"mark": reaper.mark, "reaper": reaper.pid, "work": str(work),
                              "ports": ports, "family": supervisor.log_tail("part")[0]}), flush=True)
            told = asyncio.Event()
            asyncio.get_running_loop().add_reader(0, told.set)
            stop, watch = asyncio.create_task(told.wait()), asyncio.create_task(supervisor.watch())
            try:
                await asyncio.wait([stop, watch], return_when=asyncio.FIRST_COMPLETED)
                return 0 if stop.done() else watch.exception().exit_code
            finally:
                busy.cancel()
                await supervisor.stop_all()
                postgres.close()
                broker.close()

    sys.exit(asyncio.run(main(*sys.argv[1:])))
"""


def members_of(mark: str, work: str) -> list[str]:
    """Processes of the run: by the mark, and by the private directory on the command line or as working directory."""
    found = []
    for entry in Path("/proc").iterdir():
        if not entry.name.isdecimal():
            continue
        try:
            command = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
            inside = work in command or str((entry / "cwd").readlink()).startswith(work)
        except OSError:
            continue
        if inside or carries_mark(int(entry.name), mark):
            found.append(f"{entry.name} {command}")
    return found


@pytest.mark.parametrize("end", ["SIGKILL", "SIGKILL of its group", "orderly", "a part crashes"])
def test_a_lab_leaves_nothing_behind(tmp_path: Path, end: str) -> None:
    lab = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(LAB), str(tmp_path / "logs"), textwrap.dedent(FAMILY)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    assert lab.stdin is not None
    assert lab.stdout is not None
    told = json.loads(lab.stdout.readline())
    mark, work, reaper = told["mark"], told["work"], identity(told["reaper"])
    family = [identity(int(pid)) for pid in told["family"].split()]
    assert len(members_of(mark, work)) >= 8, "postmaster with its helpers, a backend, broker, part with two children"
    match end:
        case "SIGKILL":
            lab.kill()
        case "SIGKILL of its group":
            os.killpg(lab.pid, signal.SIGKILL)
        case "orderly":
            lab.stdin.write("\n")
            lab.stdin.flush()
        case "a part crashes":
            part = status_of(family[0].pid)
            assert part is not None
            os.kill(part.parent, signal.SIGKILL)
    expected = {"orderly": 0, "a part crashes": EXIT_PART_FAILED}.get(end, -signal.SIGKILL)
    assert lab.wait(DEADLINE_S) == expected
    deadline = time.monotonic() + DEADLINE_S
    while is_alive(reaper) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert not is_alive(reaper)
    assert members_of(mark, work) == []
    assert not [process for process in family if is_alive(process)]
    assert not Path(work).exists()
    for port in told["ports"]:
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", port), timeout=5)
    lab.stdin.close()
    lab.stdout.close()


async def test_a_helper_may_end_before_anybody_waits_for_it(
    supervisor: Supervisor, monkeypatch: pytest.MonkeyPatch
) -> None:
    start = threading.Thread.start

    def start_and_come_to_the_end(thread: threading.Thread) -> None:
        start(thread)
        thread.join(DEADLINE_S)

    monkeypatch.setattr(threading.Thread, "start", start_and_come_to_the_end)
    await supervisor.run(ProcessSpec("quick", ["/bin/true"]))
    with pytest.raises(PartFailed) as failure:
        await supervisor.run(ProcessSpec("quick", ["/bin/false"]))
    assert failure.value.returncode == 1
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(supervisor.watch(), 0.0)


@pytest.mark.parametrize(
    "other_user",
    [False, pytest.param(True, marks=AS_ROOT)],
)
async def test_addresses_that_the_lab_was_given_are_not_handed_on(
    supervisor: Supervisor, monkeypatch: pytest.MonkeyPatch, other_user: bool
) -> None:
    monkeypatch.setenv("AMILAB_DATABASE_URL", "postgresql://me:secret@db/lab")
    monkeypatch.setenv("GRAFANA_TOKEN", "secret")
    monkeypatch.setenv("SOMETHING_ELSE", "shown")
    nobody = Identity(65534, 65534) if other_user else None
    program = ["/usr/bin/env"]
    await supervisor.run(ProcessSpec("part", program, environment={"GIVEN": "yes"}, identity=nobody))
    seen = dict(line.partition("=")[::2] for line in supervisor.log_tail("part", 10_000))
    assert "secret" not in " ".join(seen.values())
    assert seen["GIVEN"] == "yes"
    assert ("SOMETHING_ELSE" in seen) is not other_user
    assert "PATH" in seen
