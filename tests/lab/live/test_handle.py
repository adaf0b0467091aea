"""How a command finds the lab that runs."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import pytest

from lab.errors import UserError
from lab.live.handle import FILE, Handle, announced, find, opening_page

HANDLE = Handle.here("http://127.0.0.1:1", "token")


def test_a_running_lab_is_found_by_its_directory_and_by_that_of_all_runs(tmp_path: Path) -> None:
    run = tmp_path / "a-run"
    run.mkdir()
    (tmp_path / "latest").symlink_to(run)
    with announced(HANDLE, run):
        assert find(run) == find(tmp_path) == HANDLE
        assert (run / FILE).stat().st_mode & 0o777 == 0o600, "it holds the token"
    assert not (run / FILE).exists()


def test_no_lab(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no lab is running") as refusal:
        find(tmp_path)
    assert "amilab up" in str(refusal.value)


def test_what_a_killed_lab_has_left_is_no_lab(tmp_path: Path) -> None:
    dead = replace(HANDLE, started=HANDLE.started - 1)
    assert dead.pid == os.getpid()
    with announced(dead, tmp_path), pytest.raises(UserError, match="no lab is running"):
        find(tmp_path)


def test_several_labs_are_listed(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
    with announced(HANDLE, tmp_path / "a"), announced(HANDLE, tmp_path / "b"), pytest.raises(UserError) as refusal:
        find(tmp_path)
    assert [str(tmp_path / name) in str(refusal.value) for name in ("a", "b")] == [True, True]
    assert "--run" in str(refusal.value)


def test_a_browser_is_led_to_the_page_by_a_file_that_nobody_else_reads(tmp_path: Path) -> None:
    with opening_page('http://127.0.0.1:1/#token=a"b', tmp_path) as path:
        assert path.stat().st_mode & 0o777 == 0o600
        assert 'content="0; url=http://127.0.0.1:1/#token=a&quot;b"' in path.read_text()
    assert not path.exists()
