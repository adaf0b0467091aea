"""The lab, which may be root, goes through no symbolic link that a container has left in their shared directory."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import yaml

from lab.containers.backup_keys import pack
from lab.containers.conducting import CONDUCTING, claim_to_conduct
from lab.containers.state import PARTS, Owner, SharedLayout, make_state
from lab.errors import UserError
from lab.run.layout import JOURNAL

COMPOSE = Path(__file__).parents[3] / "compose"
OWNER = Owner(os.getuid() or 10_001, os.getgid() or 10_001)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    make_state(tmp_path / "state", OWNER)
    return tmp_path / "state"


@pytest.fixture
def precious(tmp_path: Path) -> Path:
    directory = tmp_path / "precious"
    directory.mkdir()
    directory.chmod(0o701)
    (directory / "file").write_text("mine")
    (directory / "file").chmod(0o604)
    return directory


def facts(directory: Path) -> list[tuple[str, int, int]]:
    return [(path.name, path.stat().st_mode, path.stat().st_uid) for path in (directory, *sorted(directory.iterdir()))]


@pytest.mark.parametrize("part", PARTS)
def test_a_directory_that_became_a_link_is_refused(root: Path, precious: Path, part: str) -> None:
    before = facts(precious)
    (root / part).rmdir()
    (root / part).symlink_to(precious)
    with pytest.raises(UserError, match=f"{part} is no directory"):
        make_state(root, OWNER)
    with pytest.raises(UserError, match=f"{part} is no directory"):
        claim_to_conduct(root, OWNER)
    assert facts(precious) == before


def test_links_among_what_the_lab_writes_are_all_named(root: Path, precious: Path) -> None:
    (root / "supplies" / "network.json").symlink_to(precious / "file")
    (root / "plan" / CONDUCTING).symlink_to(precious / "made")
    with pytest.raises(UserError) as caught:
        claim_to_conduct(root, OWNER)
    assert sorted(fault.rpartition("/")[2] for fault in caught.value.faults) == [
        f"{CONDUCTING} is a symbolic link",
        "network.json is a symbolic link",
    ]
    assert [path.name for path in precious.iterdir()] == ["file"]


def test_a_run_takes_no_link_for_its_own_directory(root: Path, precious: Path) -> None:
    precious.joinpath(*"as deep as it may be").mkdir(parents=True)
    before = facts(precious)
    (root / "results" / "run-1").symlink_to(precious)
    (root / "memory" / "run-1").symlink_to(precious)
    layout = SharedLayout.of(root, OWNER, "run-1")
    assert layout.results.is_dir()
    assert not layout.results.is_symlink()
    assert not layout.memory.is_symlink()
    layout.journal(layout.results).symlink_to(precious)
    with pytest.raises(UserError, match="run-1 is no directory"):
        layout.hand_out_directory(layout.journal(layout.results))
    assert facts(precious) == before


def test_no_run_brings_home_what_a_link_leads_to(root: Path, precious: Path, tmp_path: Path) -> None:
    layout = SharedLayout.of(root, OWNER, "run-1")
    (layout.results / "truth.parquet").symlink_to(precious / "file")
    (tmp_path / "run-1").mkdir()
    with pytest.raises(UserError, match=r"truth\.parquet is a symbolic link"):
        layout.collect(tmp_path / "run-1")
    assert list((tmp_path / "run-1").iterdir()) == []


def test_what_the_fleet_writes_is_judged_by_what_it_cannot_write(root: Path, tmp_path: Path) -> None:
    """Else a meter's container would make the truth fit its journal."""
    services = yaml.safe_load((COMPOSE / "compose.yaml").read_text())["services"]
    mounts = {name: service.get("volumes", []) for name, service in services.items()}
    assert [name for name, found in mounts.items() if any(mount.startswith("./state/results") for mount in found)] == [
        "grid"
    ]
    layout = SharedLayout.of(root, OWNER, "run-1")
    journals = layout.hand_out_directory(layout.journal(layout.results))
    assert layout.seen(journals) == "/state/journals/run-1"
    assert "./state/journals:/state/journals" in mounts["meters"]
    assert "./state/journals:/state/journals" in mounts["gateways"]
    (layout.results / "truth.parquet").write_text("the grid's")
    (journals / "fleet-0.parquet").write_text("the fleet's")
    (tmp_path / "run-1").mkdir()
    layout.collect(tmp_path / "run-1")
    assert (tmp_path / "run-1" / "truth.parquet").read_text() == "the grid's"
    assert (tmp_path / "run-1" / JOURNAL / "fleet-0.parquet").read_text() == "the fleet's"
    assert not journals.exists()
    assert not layout.results.exists()


def test_what_became_of_frames_comes_home_beside_the_journals(root: Path, precious: Path, tmp_path: Path) -> None:
    layout = SharedLayout.of(root, OWNER, "run-1")
    layout.hand_out_directory(layout.journal(layout.results))
    deliveries = layout.hand_out_directory(layout.deliveries(layout.results))
    assert layout.seen(deliveries) == "/state/journals/run-1-network"
    (deliveries / "fleet-0.parquet").symlink_to(precious / "file")
    assert "is a symbolic link" in str(bring_home(layout, tmp_path / "refused"))
    (deliveries / "fleet-0.parquet").unlink()
    (deliveries / "fleet-0.parquet").write_text("the fleet's")
    (tmp_path / "run-1").mkdir()
    layout.collect(tmp_path / "run-1")
    assert (tmp_path / "run-1" / "network" / "fleet-0.parquet").read_text() == "the fleet's"
    assert not deliveries.exists()


def test_what_is_judged_before_the_end_comes_home_by_itself(root: Path, tmp_path: Path) -> None:
    layout = SharedLayout.of(root, OWNER, "run-1")
    (layout.results / "network.json").write_text("{}")
    layout.hand_out(layout.network)
    so_far = layout.beside("so-far")
    assert so_far.seen(so_far.hand_out_directory(so_far.results)) == "/state/results/run-1-so-far"
    so_far.hand_out_directory(so_far.journal(so_far.results))
    (so_far.results / "truth.parquet").write_text("so far")
    (tmp_path / "so-far").mkdir()
    so_far.collect(tmp_path / "so-far")
    assert (tmp_path / "so-far" / "truth.parquet").read_text() == "so far"
    assert not so_far.results.exists()
    assert layout.network.exists()


def test_the_model_that_is_read_while_a_lab_lives_is_not_where_a_container_can_replace_it(
    root: Path, precious: Path
) -> None:
    layout = SharedLayout.of(root, OWNER, "run-1")
    layout.network.write_text("{}")
    layout.hand_out(layout.network)
    layout.network.unlink()
    layout.network.symlink_to(precious / "file")
    assert layout.beside("so-far").network_model.read_text() == "{}"


def bring_home(layout: SharedLayout, directory: Path) -> UserError:
    directory.mkdir()
    with pytest.raises(UserError) as caught:
        layout.collect(directory)
    assert list(directory.iterdir()) == []
    return caught.value


def test_no_run_brings_home_a_program_that_runs_as_whoever_conducts(root: Path, tmp_path: Path) -> None:
    """What a container has made belongs to its user. The copy is ours, who may be root."""
    layout = SharedLayout.of(root, OWNER, "run-1")
    layout.hand_out_directory(layout.journal(layout.results))
    (layout.results / "truth.parquet").write_text("#!/bin/sh")
    (layout.results / "truth.parquet").chmod(0o6777)
    (tmp_path / "run-1").mkdir()
    layout.collect(tmp_path / "run-1")
    assert (tmp_path / "run-1" / "truth.parquet").read_text() == "#!/bin/sh"
    assert (tmp_path / "run-1" / "truth.parquet").stat().st_mode & 0o7133 == 0
    assert not layout.results.exists()


def test_no_run_waits_for_a_pipe_that_a_container_has_left(root: Path, tmp_path: Path) -> None:
    layout = SharedLayout.of(root, OWNER, "run-1")
    os.mkfifo(layout.network)
    assert bring_home(layout, tmp_path / "run-1").faults == (f"{layout.network} is no file",)
    with pytest.raises(UserError, match=r"network\.json is no file"):
        layout.hand_out(layout.network)
    os.mkfifo(root / "plan" / CONDUCTING)
    with pytest.raises(UserError, match=f"{CONDUCTING} is no file"):
        claim_to_conduct(root, OWNER)


def test_no_run_fills_the_disk_with_a_file_that_a_container_has_made_large_for_nothing(
    root: Path, tmp_path: Path
) -> None:
    layout = SharedLayout.of(root, OWNER, "run-1")
    with (layout.results / "truth.parquet").open("wb") as file:
        file.truncate(1 << 43)
    assert "results have 8,796,093,022,208 bytes, and" in bring_home(layout, tmp_path / "run-1").faults[0]


def test_what_cannot_be_brought_home_is_named(root: Path, tmp_path: Path) -> None:
    layout = SharedLayout.of(root, OWNER, "run-1")
    for number in range(20):
        (layout.results / f"{number}.parquet").touch()
        (tmp_path / "run-1" / f"{number}.parquet").mkdir(parents=True)
    with pytest.raises(UserError) as caught:
        layout.collect(tmp_path / "run-1")
    assert len(caught.value.faults) == 13
    assert ".parquet cannot be brought home: " in caught.value.faults[0]
    assert caught.value.faults[-1] == "and 8 others"
    assert layout.results.exists()


def test_what_is_left_of_demonstrations_does_not_heap_up(root: Path) -> None:
    collected = SharedLayout.of(root, OWNER, "run-1")
    collected.hand_out_directory(collected.journal(collected.results))
    for number in range(3):
        layout = SharedLayout.of(root, OWNER, f"demonstration-{number}")
        (layout.results / "network.json").write_text("{}")
        (root / "memory" / "stray").write_text("no directory")
    assert sorted(path.name for path in (root / "results").iterdir()) == ["demonstration-2", "run-1"]


@pytest.fixture
def abyss(root: Path) -> Iterator[Callable[[Path], None]]:
    """Makes directories below one, as deep as a container could; and removes them, since pytest cannot."""
    made: list[Path] = []

    def dig(top: Path) -> None:
        made.append(top)
        # By way of the working directory of another process: no path is as long.
        script = "import os\nfor _ in range(3000): os.mkdir('d'); os.chdir('d')"
        subprocess.run([sys.executable, "-c", script], cwd=top, check=True)

    yield dig
    subprocess.run(["rm", "-r", *made], check=True)


@pytest.mark.parametrize("part", ["supplies", "loadtest"])
def test_directories_without_end_are_refused(root: Path, abyss: Callable[[Path], None], part: str) -> None:
    abyss(root / part)
    with pytest.raises(UserError, match=f"{part} has directories that are more than 12 deep"):
        claim_to_conduct(root, OWNER)


@pytest.mark.parametrize("part", ["memory", "results"])
def test_a_run_removes_nothing_of_others_where_directories_have_no_end(
    root: Path, abyss: Callable[[Path], None], part: str
) -> None:
    for number in (1, 2):
        (root / "memory" / f"run-{number}").mkdir()
    (root / part / "evil").mkdir()
    abyss(root / part / "evil")
    with pytest.raises(UserError, match="evil has directories that are more than 12 deep") as caught:
        SharedLayout.of(root, OWNER, "run-3")
    assert (caught.value.hint or "").endswith(f"rm -r {root / part / 'evil'}")
    assert {"run-1", "run-2"} <= {path.name for path in (root / "memory").iterdir()}


def test_no_run_brings_home_directories_without_end(root: Path, abyss: Callable[[Path], None], tmp_path: Path) -> None:
    layout = SharedLayout.of(root, OWNER, "run-1")
    abyss(layout.results)
    (tmp_path / "run-1").mkdir()
    with pytest.raises(UserError, match="more than 12 deep"):
        layout.collect(tmp_path / "run-1")
    assert list((tmp_path / "run-1").iterdir()) == []


def test_a_backup_meets_no_directories_without_end(root: Path, abyss: Callable[[Path], None], tmp_path: Path) -> None:
    abyss(root / "devices")
    with pytest.raises(UserError, match="devices has directories that are more than 12 deep"):
        pack(root.parent, OWNER, tmp_path / "keys.tar")
