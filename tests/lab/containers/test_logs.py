"""What services said: without what a terminal would obey, and without what says nothing."""

from __future__ import annotations

from pathlib import Path

import pytest

from lab.containers.docker import docker
from lab.containers.logs import plain, write_log

SAID = (
    b"\x1b[2Kgrid-1  | \x1b[1;31mfailed\x1b[0m\r\n"
    b"\x1b]0;a title\x07grid-1  | \xc2\x9b31mred \xff tab\there\n"
)  # fmt: skip


async def test_what_docker_prints_is_plain_text(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "said").write_bytes(SAID)
    program = tmp_path / "docker"
    program.write_text(f"#!/bin/sh\ncat {tmp_path}/said\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    said = await docker("compose", "logs")
    assert said == "grid-1  | failed\n0;a titlegrid-1  | 31mred \ufffd tab\there\n"


@pytest.mark.parametrize("text", ["", "subject: what it says, in °C and µA\n\tindented\n"])
def test_what_people_read_stays_as_it_is(text: str) -> None:
    assert plain(text) == text


def test_a_log_has_no_line_that_says_nothing(tmp_path: Path) -> None:
    write_log(tmp_path, "broker", "1: starting\n2: OpenSSL Error: unexpected eof while reading\n3: stopping\n")
    assert (tmp_path / "broker.log").read_text() == "1: starting\n3: stopping\n"
