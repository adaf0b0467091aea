"""A backup that is not whole is told from one that is; an archive of keys writes where keys are, and nowhere else."""

from __future__ import annotations

import io
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Callable, Sequence
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
from lab.containers.init import env_text
from lab.containers.private_directory import private_directory
from lab.containers.restore import Restored, on_the_disks_of, refuse_foreign_settings
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


@pytest.mark.parametrize("key", ["made_at", "project", "amilab", "postgresql", "timescaledb"])
@pytest.mark.parametrize("evil", ["\0", "\x1b]0;evil\a", "two\nlines", "\u202e"])
def test_a_manifest_says_nothing_that_a_terminal_or_database_would_obey(whole: Path, key: str, evil: str) -> None:
    document = json.loads((whole / MANIFEST).read_bytes())
    (whole / MANIFEST).write_text(json.dumps({**document, key: evil}))
    found = faults(whole)
    assert f"{MANIFEST}: {key}: " in found
    assert evil not in found


@pytest.mark.parametrize("name", PARTS)
def test_a_part_that_is_large_for_nothing_fills_neither_disk_nor_memory(whole: Path, tmp_path: Path, name: str) -> None:
    document = json.loads((whole / MANIFEST).read_bytes())
    document["parts"][name]["bytes"] = 1 << 43
    (whole / MANIFEST).write_text(json.dumps(document))
    os.truncate(whole / name, 1 << 43)
    (tmp_path / "copy").mkdir()
    with pytest.raises(UserError) as caught:
        read_backup(whole, tmp_path / "copy")
    assert list((tmp_path / "copy").iterdir()) == []
    assert any("8,796,093,022,2" in fault and "there is space for" in fault for fault in caught.value.faults)
    if name != PARTS[0]:
        assert caught.value.faults[0].startswith(f"{name} has 8,796,093,022,208 bytes, and no lab has more than ")


def link_elsewhere(path: Path) -> None:
    path.rename(path.with_name("elsewhere"))
    path.symlink_to("elsewhere")


def turn_into_a_pipe(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


@pytest.mark.timeout(30)
@pytest.mark.parametrize(
    ("harm", "said"), [(link_elsewhere, "Too many levels of symbolic links"), (turn_into_a_pipe, "it is no file")]
)
def test_a_manifest_that_is_a_link_or_a_pipe_is_refused(whole: Path, harm: Callable[[Path], None], said: str) -> None:
    harm(whole / MANIFEST)
    assert faults(whole) == f"{whole / MANIFEST} cannot be read: {said}"


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


def link_away(project: Path) -> None:
    (project / "secrets" / "ca.key").rename(project / "ca.key")
    (project / "secrets" / "ca.key").symlink_to(project / "ca.key")


def deep(project: Path) -> None:
    (project / "state" / "devices" / "a/b/c/d/e/f/g").mkdir(parents=True)
    (project / "state" / "devices" / "a/b/c/d/e/f/g/AMI2.pem").touch()


def large(project: Path) -> None:
    os.truncate(project / "state" / "devices" / "AMI1.pem", 1 << 40)


def many(project: Path) -> None:
    for number in range(20):
        (project / "state" / "devices" / f"{number}.pem").touch()


@pytest.mark.parametrize(
    ("harm", "said"),
    [
        (link_away, "secrets/ca.key is a symbolic link"),
        (lambda project: os.mkfifo(project / "secrets" / "x_password"), "secrets/x_password is no file"),
        (deep, "AMI2.pem'… is no name of a key"),
        (large, "'state/devices/AMI1.pem' is too large"),
        (many, "there are more than 20 files"),
    ],
    ids=["link", "pipe", "deep", "large", "many"],
)
def test_what_could_not_be_restored_is_not_backed_up(
    project: Path, tmp_path: Path, harm: Callable[[Path], None], said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(backup_keys, "_MOST_ENTRIES", 20)
    harm(project)
    with pytest.raises(UserError, match=re.escape(said)):
        backup_keys.pack(project, OURS, tmp_path / "keys.tar")
    assert not (tmp_path / "keys.tar").exists()


@pytest.mark.parametrize("harm", [Path.unlink, lambda path: os.truncate(path, 1), lambda path: os.truncate(path, 99)])
def test_a_key_that_changes_while_it_is_backed_up_is_named(
    project: Path, tmp_path: Path, harm: Callable[[Path], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """As a rotation does it."""
    judge = backup_keys._faults

    def meanwhile(entries: Sequence[tarfile.TarInfo]) -> list[str]:
        harm(project / "state" / "devices" / "AMI1.pem")
        return judge(entries)

    monkeypatch.setattr(backup_keys, "_faults", meanwhile)
    with pytest.raises(UserError, match=r"AMI1\.pem changed while it was written down"):
        backup_keys.pack(project, OURS, tmp_path / "keys.tar")


def test_keys_that_are_closed_to_us_are_not_taken_for_none() -> None:
    with tempfile.TemporaryDirectory() as place:
        Path(place).chmod(0o755)
        (Path(place) / "secrets").mkdir(mode=0o700)
        (Path(place) / "secrets" / "ca.key").touch()
        (Path(place) / "secrets").chmod(0)
        was = os.geteuid()
        if was == 0:
            os.seteuid(65_534)
        try:
            with pytest.raises(PermissionError):
                backup_keys.pack(Path(place), OURS, Path("/dev/null"))
        finally:
            os.seteuid(was)
            (Path(place) / "secrets").chmod(0o700)


def test_an_archive_of_more_entries_than_any_lab_has_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(backup_keys, "_MOST_ENTRIES", 20)
    with tarfile.open(tmp_path / "keys.tar", "w") as archive:
        for number in range(22):
            archive.addfile(entry(f"secrets/{number}"), io.BytesIO(b""))
    with pytest.raises(UserError, match="more than 20 files"):
        backup_keys.unpack(tmp_path / "keys.tar", tmp_path, OURS)


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


@pytest.fixture
def settings_of_a_backup(tmp_path: Path) -> Callable[[str], None]:
    """Judges settings with these lines, for a project with two Compose files."""
    directory, source = tmp_path / "compose", tmp_path / "backup"
    directory.mkdir()
    source.mkdir()
    for name in ("compose.yaml", "compose.debian.yaml"):
        (directory / name).touch()

    def judge(lines: str) -> None:
        (source / PARTS[3]).write_text(f"AMILAB_UID=10001\nAMILAB_GID=10001\n{lines}\n")
        refuse_foreign_settings(source, directory)

    return judge


@pytest.mark.parametrize(
    "lines",
    [
        env_text(Owner(10_001, 10_001), debian=True),
        env_text(Owner(10_001, 10_001), debian=False),
        "COMPOSE_FILE=compose.yaml:compose.debian.yaml",
        "COMPOSE_FILE=\"compose.yaml\"\nAMILAB_IMAGES='registry.example:5000/ami'\n  # mine\n",
    ],
)
def test_settings_of_a_lab_are_taken_from_its_backup(lines: str, settings_of_a_backup: Callable[[str], None]) -> None:
    settings_of_a_backup(lines)


@pytest.mark.parametrize(
    "files", ["/tmp/evil.yaml", "compose.yaml:../evil.yaml", "oci://example.org/evil:1", "https://example.org/evil.git"]
)
@pytest.mark.parametrize("quote", ["", '"', "'"])
def test_settings_of_a_backup_start_no_files_but_the_projects(
    files: str, quote: str, settings_of_a_backup: Callable[[str], None]
) -> None:
    with pytest.raises(UserError, match="which is not here"):
        settings_of_a_backup(f"COMPOSE_FILE={quote}{files}{quote}")


@pytest.mark.parametrize(
    "lines",
    [
        "COMPOSE_FILE: /tmp/evil.yaml",
        "export COMPOSE_FILE=/tmp/evil.yaml",
        " COMPOSE_FILE=/tmp/evil.yaml",
        "COMPOSE_FILE =/tmp/evil.yaml",
        "COMPOSE_FILE=${HOME}/evil.yaml",
        "AMILAB_X='\nCOMPOSE_FILE=/tmp/evil.yaml\n'",
        "#\rCOMPOSE_FILE: /tmp/evil.yaml",
        "DOCKER_HOST=tcp://evil.example:2375",
        "COMPOSE_ENV_FILES=/tmp/evil.env",
        "COMPOSE_PATH_SEPARATOR=p",
        "LD_PRELOAD=/tmp/evil.so",
        "AMILAB_IMAGES=$(evil)",
        "AMILAB_IMAGES=x # y\x00",
        "\x1b[2Jevil",
    ],
)
def test_settings_of_a_backup_that_docker_may_read_otherwise_are_refused(
    lines: str, settings_of_a_backup: Callable[[str], None]
) -> None:
    """Compose takes `NAME: value` for a setting, too; and some of its settings are of itself, or of the engine."""
    with pytest.raises(UserError, match=r"line \d is no setting of a lab") as caught:
        settings_of_a_backup(lines)
    assert "\x1b" not in str(caught.value)


def test_settings_of_a_backup_that_are_wrong_are_refused_before_they_are_taken(
    settings_of_a_backup: Callable[[str], None],
) -> None:
    with pytest.raises(UserError, match="AMILAB_LINK_PORT=0"):
        settings_of_a_backup("AMILAB_LINK_PORT=0")


def test_no_entry_gets_rights_that_no_key_has(tmp_path: Path) -> None:
    with tarfile.open(tmp_path / "keys.tar", "w") as archive:
        archive.addfile(entry("secrets/ca.key"), io.BytesIO(b""))
    backup_keys.unpack(tmp_path / "keys.tar", tmp_path, OURS)
    assert (tmp_path / "secrets" / "ca.key").stat().st_mode & 0o7777 == 0o744


def test_an_archive_that_is_none(tmp_path: Path) -> None:
    (tmp_path / "keys.tar").write_bytes(b"no archive" * 100)
    with pytest.raises(UserError, match=r"keys\.tar cannot be read"):
        backup_keys.unpack(tmp_path / "keys.tar", tmp_path, OURS)
