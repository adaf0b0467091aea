"""The link to the latest run, in a place where others can write, too."""

from __future__ import annotations

from pathlib import Path

from lab.run.directory import link_latest, new_directory


def test_the_link_leads_to_the_latest(tmp_path: Path) -> None:
    told: list[str] = []
    for name in ("first", "second"):
        directory = new_directory(tmp_path, name)
        link_latest(directory, told.append)
        assert (tmp_path / "latest").resolve() == directory
    assert told == []


def test_what_stands_in_its_place_stays_and_costs_the_run_nothing(tmp_path: Path) -> None:
    told: list[str] = []
    (tmp_path / "latest").mkdir()
    directory = new_directory(tmp_path, "run")
    link_latest(directory, told.append)
    assert "latest does not lead to this run" in told[0]
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(["latest", directory.name])


def test_a_link_that_somebody_has_put_there_is_not_followed(tmp_path: Path) -> None:
    told: list[str] = []
    foreign = tmp_path / "foreign"
    foreign.mkdir()
    out = tmp_path / "out"
    directory = new_directory(out, "run")
    (out / "latest").symlink_to(foreign)
    (out / f".latest-{directory.name}").symlink_to(foreign)
    link_latest(directory, told.append)
    assert told, "another name would do, but nobody knows whose it is"
    assert list(foreign.iterdir()) == []
    assert (out / f".latest-{directory.name}").readlink() == foreign
