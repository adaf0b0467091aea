from __future__ import annotations

import os
import resource
import socket
import subprocess
import sys
import uuid
from pathlib import Path

import pytest

from lab.errors import UserError
from lab.processes.reaper import Reaper
from lab.services.host import (
    is_reachable_by_all,
    make_private_directory,
    require_free_space,
    require_open_files,
)
from lab.services.ports import LOOPBACK, ReservedPort
from tests import left_out


def test_room_is_measured_where_the_path_will_be(tmp_path: Path) -> None:
    require_free_space(tmp_path / "not" / "yet", 1)
    with pytest.raises(UserError, match="the run needs") as error:
        require_free_space(tmp_path / "not" / "yet", 2**60)
    assert str(tmp_path) in error.value.faults[0]


def test_open_files_are_raised_up_to_the_hard_limit_only() -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    program = (
        "import resource; from lab.services.host import require_open_files\n"
        "resource.setrlimit(resource.RLIMIT_NOFILE, (64, 512)); require_open_files(500)\n"
        "print(resource.getrlimit(resource.RLIMIT_NOFILE))"
    )
    raised = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert raised.stdout == "(500, 512)\n"
    with pytest.raises(UserError, match="may open"):
        require_open_files(hard + 1)
    assert resource.getrlimit(resource.RLIMIT_NOFILE) == (soft, hard)


def test_the_private_directory_goes_with_the_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with Reaper(uuid.uuid4().hex) as reaper:
        directory = make_private_directory(reaper)
        (directory / "deep").mkdir()
        (directory / "deep" / "file").write_text("x")
        assert directory.stat().st_mode & 0o077 == 0o011
    assert not directory.exists()


def test_a_directory_below_a_closed_one_is_not_reachable(tmp_path: Path) -> None:
    place = tmp_path / "closed" / "open"
    place.mkdir(parents=True)
    place.chmod(0o755)
    place.parent.chmod(0o700)
    assert not is_reachable_by_all(place)


@pytest.mark.skipif(os.geteuid() != 0, reason=left_out.reason(*left_out.TWO_USERS))
def test_root_needs_a_temporary_directory_that_all_may_enter(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tmp_path.chmod(0o700)
    monkeypatch.setattr("tempfile.gettempdir", lambda: str(tmp_path))
    with Reaper(uuid.uuid4().hex) as reaper, pytest.raises(UserError, match="cannot be entered by unprivileged users"):
        make_private_directory(reaper)


def test_a_reserved_port_is_refused_to_others_and_open_to_its_server() -> None:
    with ReservedPort() as reserved:
        with socket.socket() as other, pytest.raises(OSError, match="in use"):
            other.bind((LOOPBACK, reserved.port))
        for _ in range(3):  # the server dies and returns, with connections left in TIME_WAIT
            with socket.create_server((LOOPBACK, reserved.port)) as server:
                client = socket.create_connection((LOOPBACK, reserved.port))
                server.accept()[0].close()
                client.close()
            with pytest.raises(ConnectionRefusedError):
                socket.create_connection((LOOPBACK, reserved.port))


def test_reserved_ports_differ() -> None:
    ports = [ReservedPort() for _ in range(50)]
    assert len({port.port for port in ports}) == 50
    for port in ports:
        port.close()
