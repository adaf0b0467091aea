"""A backup that is not whole is told from one that is; an archive of keys writes where keys are, and nowhere else."""

from __future__ import annotations

import io
import os
import shutil
import signal
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner

from lab.commands.compose import app
from lab.containers import backup_keys
from lab.containers.backup_directory import NewDirectory, write
from lab.containers.backup_manifest import (
    MANIFEST,
    PARTS,
    Manifest,
    SchemaFacts,
    digest_of,
    part_of,
    read_backup,
)
from lab.containers.private_directory import private_directory
from lab.containers.restore import Restored, on_the_disks_of, refuse_other_files
from lab.containers.state import Owner
from lab.errors import UserError

OURS = Owner(os.getuid(), os.getgid())


@pytest.fixture
def whole(tmp_path: Path) -> Path:
    directory = tmp_path / "backup"
    with NewDirectory(directory) as draft:
        for number, name in enumerate(PARTS):
            write(draft / name, f"part {number} of it".encode())
        manifest = Manifest(
            made_at="2026-11-28T12:00:00+00:00",
            project="amilab",
            amilab="0.1.0",
            postgresql="17.6",
            postgresql_major=17,
            timescaledb="2.21.1",
            schemas={"amilab_run": SchemaFacts(migration="0033.x", rows={"interval_reading": 146_461})},
            parts={name: part_of(draft / name) for name in PARTS},
        )
        write(draft / MANIFEST, manifest.to_bytes())
    return directory


def read_back(directory: Path, *, digest: str | None = None) -> Manifest:
    with tempfile.TemporaryDirectory() as copy:
        return read_backup(directory, Path(copy), digest=digest)


def faults(directory: Path, digest: str | None = None) -> str:
    with pytest.raises(UserError) as caught:
        read_back(directory, digest=digest)
    assert caught.value.exit_code == 2
    return "\n".join(caught.value.faults)


def test_a_whole_backup_is_nobody_elses_and_says_what_it_has(whole: Path) -> None:
    manifest = read_back(whole, digest=digest_of((whole / MANIFEST).read_bytes()))
    assert manifest.readings == 146_461
    assert {path.name: oct(path.stat().st_mode & 0o777) for path in whole.iterdir()} == dict.fromkeys(
        [*PARTS, MANIFEST], "0o600"
    )
    assert whole.stat().st_mode & 0o777 == 0o700
    assert list(whole.parent.iterdir()) == [whole]


def cut_short(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-3])


def change_a_byte(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[2] ^= 1
    path.write_bytes(content)


@pytest.mark.parametrize("name", PARTS)
@pytest.mark.parametrize(
    ("harm", "said"),
    [(cut_short, "cut short or changed"), (change_a_byte, "is not what it was"), (Path.unlink, "is missing")],
)
def test_a_part_that_was_harmed_is_named(whole: Path, name: str, harm: Callable[[Path], None], said: str) -> None:
    harm(whole / name)
    found = faults(whole)
    assert found.startswith(name)
    assert said in found
    assert found.count("\n") == 0


def test_everything_that_is_wrong_is_said_at_once(whole: Path) -> None:
    (whole / PARTS[0]).unlink()
    change_a_byte(whole / PARTS[1])
    (whole / "guest").write_text("x")
    found = faults(whole, digest="0" * 64)
    for said in (f"{PARTS[0]} is missing", f"{PARTS[1]} is not what it was", "guest is no part", "--digest is another"):
        assert said in found


@pytest.mark.parametrize("said", [b"", b"{}", b"[]", b'{"format": 2}', b"\xff", b'{"parts": {"../x": {}}}'])
def test_a_manifest_that_is_none(whole: Path, said: bytes) -> None:
    (whole / MANIFEST).write_bytes(said)
    assert MANIFEST in faults(whole)


def test_a_directory_that_is_no_backup_is_not_taken_for_a_broken_one(tmp_path: Path) -> None:
    for directory in (tmp_path, tmp_path / "nowhere"):
        with pytest.raises(UserError, match=r"no whole backup|no directory") as caught:
            read_back(directory)
        assert (caught.value.hint or "").startswith("Name a directory that `amilab compose backup` has written")


def test_a_link_in_the_place_of_a_part(whole: Path, tmp_path: Path) -> None:
    (whole / PARTS[0]).rename(tmp_path / "elsewhere")
    (whole / PARTS[0]).symlink_to(tmp_path / "elsewhere")
    assert f"{PARTS[0]} is missing" in faults(whole)


def test_what_is_restored_is_what_was_judged_whoever_changes_the_directory_meanwhile(
    whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The directory of a backup may be somebody else's; the digest is of what was found in it."""
    project = tmp_path / "compose"
    project.mkdir()
    (project / "compose.yaml").touch()
    before = {name: (whole / name).read_bytes() for name in PARTS}
    seen: dict[str, bytes] = {}
    copies: dict[Path, str] = {}

    def look(source: Path) -> None:
        for name in PARTS:
            (whole / name).write_bytes(b"evil")
        seen.update({name: (source / name).read_bytes() for name in PARTS})
        copies[source] = oct(source.stat().st_mode & 0o777)

    async def bring_back(_directory: Path, source: Path, manifest: Manifest, **_: object) -> Restored:
        look(source)
        return Restored(manifest.readings, len(manifest.schemas), None, kept_settings=False)

    monkeypatch.setattr("lab.containers.restore.restore", bring_back)
    answer = CliRunner().invoke(app, ["restore", str(whole), "--directory", str(project)])
    assert answer.exit_code == 0, answer.output
    assert seen == before
    assert list(copies.values()) == ["0o700"]
    assert not any(copy.exists() for copy in copies)
    assert [path.name for path in project.iterdir()] == ["compose.yaml"]


def test_a_part_that_is_larger_than_it_says_is_not_copied(whole: Path, tmp_path: Path) -> None:
    with (whole / PARTS[0]).open("ab") as file:
        file.truncate(1 << 40)
    (tmp_path / "copy").mkdir()
    with pytest.raises(UserError, match="1,099,511,627,776 bytes"):
        read_backup(whole, tmp_path / "copy")
    assert not (tmp_path / "copy" / PARTS[0]).exists()


def test_what_is_there_is_not_overwritten(tmp_path: Path) -> None:
    (tmp_path / "taken").write_text("mine")
    with pytest.raises(UserError, match="is there already"), NewDirectory(tmp_path / "taken"):
        raise AssertionError("it is not to begin")
    (tmp_path / "dangling").symlink_to(tmp_path / "nowhere")
    with pytest.raises(UserError, match="is there already"), NewDirectory(tmp_path / "dangling"):
        raise AssertionError("it is not to begin")
    assert (tmp_path / "taken").read_text() == "mine"


def test_what_comes_about_meanwhile_is_not_overwritten(tmp_path: Path) -> None:
    directory = NewDirectory(tmp_path / "new")
    directory.__enter__()
    (tmp_path / "new").mkdir()
    (tmp_path / "new" / "precious").touch()
    with pytest.raises(UserError, match="has come about meanwhile"):
        directory.__exit__(None)
    assert [path.name for path in tmp_path.iterdir()] == ["new"]


def test_a_backup_that_breaks_leaves_nothing(tmp_path: Path) -> None:
    def work() -> None:
        with NewDirectory(tmp_path / "new") as draft:
            write(draft / PARTS[0], b"half")
            raise OSError("the disk")

    with pytest.raises(OSError, match="the disk"):
        work()
    assert list(tmp_path.iterdir()) == []


def test_a_backup_that_is_killed_leaves_nothing_that_looks_whole(tmp_path: Path) -> None:
    program = (
        "import os, signal, sys\nfrom pathlib import Path\n"
        "from lab.containers.backup_directory import NewDirectory, write\n"
        "with NewDirectory(Path(sys.argv[1])) as draft:\n"
        "    write(draft / 'database.dump', b'half'); os.kill(os.getpid(), signal.SIGKILL)"
    )
    ended = subprocess.run([sys.executable, "-c", program, str(tmp_path / "new")], check=False)
    assert ended.returncode == -signal.SIGKILL
    (left,) = tmp_path.iterdir()
    assert left.name == ".new.unfinished"
    assert MANIFEST in faults(left)
    assert "there is no directory" in faults(tmp_path / "new")
    with NewDirectory(tmp_path / "new") as draft:
        assert list(draft.iterdir()) == [], "what was left is of no use"
    assert [path.name for path in tmp_path.iterdir()] == ["new"]


@pytest.fixture
def project(tmp_path: Path) -> Path:
    root = tmp_path / "compose"
    files = {"secrets/ca.key": 0o600, "secrets/database_password": 0o444, "state/devices/AMI1.pem": 0o600}
    files |= {"state/supplies/shipment.csv": 0o600, "state/broker/server.pem": 0o444, "state/broker/hold": 0o644}
    files |= {"state/memory/run/fleet-0.sqlite": 0o600, "state/plan/plan.json": 0o640}
    for name, mode in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(name)
        path.chmod(mode)
    return root


def test_keys_are_back_with_their_modes_and_a_runs_own_things_are_not(
    project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    backup_keys.pack(project, OURS, tmp_path / "keys.tar")
    assert (tmp_path / "keys.tar").stat().st_mode & 0o777 == 0o600
    unpacked = tmp_path / "unpacked"
    unpacked.mkdir()
    backup_keys.unpack(tmp_path / "keys.tar", unpacked, OURS)
    found = {
        path.relative_to(unpacked).as_posix(): oct(path.stat().st_mode & 0o777)
        for path in unpacked.rglob("*")
        if path.is_file()
    }
    assert found == {
        "secrets/ca.key": "0o600",
        "secrets/database_password": "0o444",
        "state/devices/AMI1.pem": "0o600",
        "state/supplies/shipment.csv": "0o600",
        "state/broker/server.pem": "0o444",
    }
    assert backup_keys.is_there_already(project, unpacked)
    (project / "secrets" / "ca.key").write_text("another")
    assert not backup_keys.is_there_already(project, unpacked)
    synced: list[str] = []
    monkeypatch.setattr(os, "sync", lambda: synced.append((project / "secrets" / "ca.key").read_text()))
    aside = project / "secrets.before"
    with backup_keys.installed(project, unpacked, aside):
        assert synced == ["secrets/ca.key"]
    assert (aside / "ca.key").read_text() == "another"
    assert (project / "secrets" / "ca.key").read_text() == "secrets/ca.key"
    assert (project / "state" / "memory" / "run" / "fleet-0.sqlite").exists()


def all_of(directory: Path) -> dict[str, str]:
    return {path.relative_to(directory).as_posix(): path.read_text() for path in directory.rglob("*") if path.is_file()}


def another_labs(place: Path) -> Path:
    for name in ("secrets/ca.key", "secrets/database_password", "state/devices/AMI2.pem", "state/broker/server.pem"):
        path = place / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"another {name}")
    return place


def test_keys_are_where_they_were_if_what_belongs_to_them_fails(project: Path, tmp_path: Path) -> None:
    before, unpacked = all_of(project), another_labs(tmp_path / "unpacked")
    aside = project / "secrets.before"

    def work() -> None:
        with backup_keys.installed(project, unpacked, aside):
            assert all_of(project / "secrets") == {
                "ca.key": "another secrets/ca.key",
                "database_password": "another secrets/database_password",
            }
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        work()
    assert all_of(project) == before
    assert not aside.exists()


def test_keys_of_which_one_directory_cannot_be_put_in_its_place_stay_all_where_they_were(
    project: Path, tmp_path: Path
) -> None:
    before, unpacked = all_of(project), another_labs(tmp_path / "unpacked")
    (unpacked / "state" / "broker.replaced").mkdir()
    (unpacked / "state" / "broker.replaced" / "in the way").touch()
    with (
        pytest.raises(UserError, match=r"cannot be put in their place: Directory not empty: .*/state/broker"),
        backup_keys.installed(project, unpacked, project / "secrets.before"),
    ):
        raise AssertionError("it is not to begin")
    assert all_of(project) == before


def test_keys_are_put_in_a_state_that_is_a_link_to_another_disk(project: Path) -> None:
    with tempfile.TemporaryDirectory(dir="/dev/shm") as place:
        other = Path(place) / "state"
        assert other.parent.stat().st_dev != project.stat().st_dev
        shutil.move(project / "state", other)
        (project / "state").symlink_to(other)
        with (
            on_the_disks_of(project) as unpacked,
            backup_keys.installed(project, another_labs(unpacked), project / "secrets.before"),
        ):
            pass
        assert {path.name for path in other.iterdir()} == {"supplies", "devices", "broker", "memory", "plan"}
        assert all_of(other / "devices") == {"AMI2.pem": "another state/devices/AMI2.pem"}


def test_what_a_killed_restoration_has_left_goes_with_the_next_and_what_is_in_use_stays(tmp_path: Path) -> None:
    program = (
        "import os, signal, sys\nfrom pathlib import Path\n"
        "from lab.containers.private_directory import private_directory\n"
        "with private_directory(Path(sys.argv[1])) as place:\n"
        "    (place / 'ca.key').touch(); os.kill(os.getpid(), signal.SIGKILL)"
    )
    assert subprocess.run([sys.executable, "-c", program, str(tmp_path)], check=False).returncode == -signal.SIGKILL
    (left,) = tmp_path.iterdir()
    with private_directory(tmp_path) as first:
        (first / "ca.key").touch()
        assert not left.exists()
        with private_directory(tmp_path) as second:
            assert {first, second} == set(tmp_path.iterdir())
        assert (first / "ca.key").exists()
    assert list(tmp_path.iterdir()) == []


def entry(name: str, kind: bytes = tarfile.REGTYPE, link: str = "") -> tarfile.TarInfo:
    made = tarfile.TarInfo(name)
    made.type, made.linkname, made.mode = kind, link, 0o6777
    return made


@pytest.mark.parametrize(
    "evil",
    [
        entry("../outside"),
        entry("/etc/amilab"),
        entry("secrets/../../outside"),
        entry("secrets"),
        entry("compose.yaml"),
        entry("state/plan/plan.json"),
        entry("secrets/./ca.key"),
        entry("secrets/link", tarfile.SYMTYPE, "/etc"),
        entry("secrets/hard", tarfile.LNKTYPE, "secrets/ca.key"),
        entry("secrets/pipe", tarfile.FIFOTYPE),
        entry("secrets/directory", tarfile.DIRTYPE),
        entry("secrets/ca.key"),
    ],
    ids=lambda made: made.name,
)
def test_an_archive_that_leads_elsewhere_is_refused_before_a_byte_is_written(
    evil: tarfile.TarInfo, tmp_path: Path
) -> None:
    with tarfile.open(tmp_path / "keys.tar", "w") as archive:
        archive.addfile(entry("secrets/ca.key"), io.BytesIO(b""))
        archive.addfile(evil, io.BytesIO(b""))
    to = tmp_path / "to"
    to.mkdir()
    with pytest.raises(UserError) as caught:
        backup_keys.unpack(tmp_path / "keys.tar", to, OURS)
    assert repr(evil.name) in caught.value.faults[0]
    assert list(to.iterdir()) == []


SPARSE = {"GNU.sparse.major": "1", "GNU.sparse.minor": "0", "GNU.sparse.name": "secrets/sparse"}


@pytest.mark.parametrize(
    ("name", "sparse", "said"),
    [
        ("secrets/ca.key/below", {}, "lies in another file"),
        (f"secrets/{'x' * 256}", {}, "is no name of a key"),
        (f"secrets/{'x/' * 3000}x", {}, "is no name of a key"),
        ("secrets/sparse", {**SPARSE, "GNU.sparse.realsize": str(1 << 27)}, "is no plain file"),
    ],
    ids=["below a file", "long", "deep", "sparse"],
)
def test_what_no_disk_can_hold_is_refused_before_a_byte_is_written(
    name: str, sparse: dict[str, str], said: str, tmp_path: Path
) -> None:
    evil = entry(name)
    body = b"1\n134217728\n0\n".ljust(512, b"\0") if sparse else b""
    evil.pax_headers, evil.size = sparse, len(body)
    with tarfile.open(tmp_path / "keys.tar", "w", format=tarfile.PAX_FORMAT) as archive:
        archive.addfile(entry("secrets/ca.key"), io.BytesIO(b""))
        archive.addfile(evil, io.BytesIO(body))
    (tmp_path / "to").mkdir()
    with pytest.raises(UserError, match=said):
        backup_keys.unpack(tmp_path / "keys.tar", tmp_path / "to", OURS)
    assert list((tmp_path / "to").iterdir()) == []


@pytest.mark.parametrize(
    "files", ["/tmp/evil.yaml", "compose.yaml:../evil.yaml", "oci://example.org/evil:1", "https://example.org/evil.git"]
)
def test_settings_of_a_backup_start_no_files_but_the_projects(files: str, tmp_path: Path) -> None:
    project, source = tmp_path / "compose", tmp_path / "backup"
    project.mkdir()
    source.mkdir()
    for name in ("compose.yaml", "compose.debian.yaml"):
        (project / name).touch()
    text = "AMILAB_UID=10001\nAMILAB_GID=10001\nCOMPOSE_FILE="
    (source / PARTS[3]).write_text(f"{text}compose.yaml:compose.debian.yaml\n")
    refuse_other_files(source, project)
    (source / PARTS[3]).write_text(f"{text}{files}\n")
    with pytest.raises(UserError, match="which is not here"):
        refuse_other_files(source, project)


def test_no_entry_gets_rights_that_no_key_has(tmp_path: Path) -> None:
    with tarfile.open(tmp_path / "keys.tar", "w") as archive:
        archive.addfile(entry("secrets/ca.key"), io.BytesIO(b""))
    backup_keys.unpack(tmp_path / "keys.tar", tmp_path, OURS)
    assert (tmp_path / "secrets" / "ca.key").stat().st_mode & 0o7777 == 0o744


def test_an_archive_that_is_none(tmp_path: Path) -> None:
    (tmp_path / "keys.tar").write_bytes(b"no archive" * 100)
    with pytest.raises(UserError, match=r"keys\.tar cannot be read"):
        backup_keys.unpack(tmp_path / "keys.tar", tmp_path, OURS)
