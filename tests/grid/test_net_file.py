"""Files that hold a pandapower net, or say so: read without doing what they ask for, or refused with the reason."""

from __future__ import annotations

import copy
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pandapower as pp
import pytest

from grid.feeder import FeederError, load_feeder
from grid.net_file import LARGEST_BYTES, NetFileError, read_net_file

READS = """
import sys
from pathlib import Path
sys.path.insert(0, "")
from grid.net_file import NetFileError, read_net_file
for path in sys.argv[1:]:
    try:
        read_net_file(Path(path))
    except NetFileError as error:
        print(error)
"""
TRAP = 'from pathlib import Path\n\nPath("sprung").touch()\n\n\nclass Trap:\n    pass\n'


@pytest.fixture
def document(net: Any) -> dict[str, Any]:
    """A hamlet as pandapower saves it."""
    found: dict[str, Any] = json.loads(pp.to_json(net))
    return found


def saved(document: dict[str, Any], directory: Path) -> Path:
    path = directory / "net.json"
    path.write_text(json.dumps(document), encoding="utf-8")
    return path


def strange(module: str, name: str, what: object) -> dict[str, object]:
    return {"_module": module, "_class": name, "_object": what}


def in_the_net(document: dict[str, Any], stranger: object) -> None:
    document["_object"]["extra"] = stranger


def in_a_cell(document: dict[str, Any], stranger: object) -> None:
    table = json.loads(document["_object"]["load"]["_object"])
    table["data"][0][table["columns"].index("name")] = stranger
    document["_object"]["load"]["_object"] = json.dumps(table)


def in_a_controller(document: dict[str, Any], stranger: object) -> None:
    table = {"columns": ["object", "in_service"], "index": [0], "data": [[stranger, True]]}
    document["_object"]["controller"]["_object"] = json.dumps(table)


def in_place_of_a_table(document: dict[str, Any], stranger: object) -> None:
    document["_object"]["line"] = stranger


PLACES = [in_the_net, in_a_cell, in_a_controller, in_place_of_a_table]
STRANGERS = [
    ("os", "system", "touch sprung"),
    ("posix", "system", "touch sprung"),
    ("subprocess", "getoutput", "touch sprung"),
    ("subprocess", "function", "getoutput"),
    ("trap", "Trap", "{}"),
    ("trap.deeper", "Trap", "{}"),
]


@pytest.mark.parametrize("place", PLACES, ids=lambda place: place.__name__)
def test_what_a_file_names_is_not_imported(document: dict[str, Any], tmp_path: Path, place: Any) -> None:
    """Read from the directory of the trap, by a process that would import from it."""
    (tmp_path / "trap.py").write_text(TRAP)
    paths = []
    for number, stranger in enumerate(STRANGERS):
        (tmp_path / str(number)).mkdir()
        infected = copy.deepcopy(document)
        place(infected, strange(*stranger))
        paths.append(str(saved(infected, tmp_path / str(number))))
    done = subprocess.run(
        [sys.executable, "-c", READS, *paths],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).resolve().parents[2])},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert [line.partition(" names ")[2].partition(";")[0] for line in done.stdout.splitlines()] == [
        f"the Python module {module}, which amilab does not import" for module, _, _ in STRANGERS
    ]
    assert not (tmp_path / "sprung").exists()
    assert not (tmp_path / "__pycache__").exists()


def test_a_module_whose_name_is_written_in_escapes_is_not_imported_either(
    document: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "trap.py").write_text(TRAP)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    in_the_net(document, strange("trap", "Trap", "{}"))
    path = tmp_path / "net.json"
    path.write_text(json.dumps(document).replace('"_module": "trap"', '"\\u005fmodule": "trap"'), encoding="utf-8")
    assert len(read_net_file(path).net.load) == 4
    assert "trap" not in sys.modules
    assert not (tmp_path / "sprung").exists()


def test_a_table_does_not_read_other_files(document: dict[str, Any], tmp_path: Path) -> None:
    """pandas takes an absolute path that ends in .json for the place of the table."""
    other = tmp_path / "other.json"
    other.write_text(document["_object"]["load"]["_object"])
    document["_object"]["load"]["_object"] = str(other)
    with pytest.raises(NetFileError, match="the table 'load' cannot be read"):
        read_net_file(saved(document, tmp_path))


def test_what_is_not_read_does_not_stop_a_net(document: dict[str, Any], tmp_path: Path) -> None:
    in_a_controller(document, strange("pandapower.control.controller.trafo.Gone", "Gone", "{}"))
    document["_object"]["measurement"]["_object"] = "not a table"
    feeder = load_feeder(f"file:{saved(document, tmp_path)}")
    assert feeder.notices == ("1 controller of the net does not act: its taps stay as they are",)
    assert len(feeder.usage_points) == 4


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ("[1, 2]", "it is no table"),
        ('{"columns": ["bus"], "index": [0], "data": [[1, 2]]}', "its data are not 1 rows of 1 columns"),
        ('{"columns": ["bus"], "index": [0, 1], "data": [[1]]}', "its data are not 2 rows of 1 columns"),
        ('{"columns": [7], "index": [0], "data": [[1]]}', "the names of its columns are no texts"),
        ('{"columns": ["bus"], "index": [[0]], "data": [[1]]}', "its index is no list of numbers"),
        ('{"columns": 7, "index": [0], "data": [[1]]}', "must be lists"),
        ('{"bus": 7}', "its columns are no objects"),
    ],
)
def test_tables_that_are_none(document: dict[str, Any], tmp_path: Path, table: str, message: str) -> None:
    document["_object"]["load"]["_object"] = document["_object"]["sgen"]["_object"] = table
    with pytest.raises(NetFileError) as refused:
        read_net_file(saved(document, tmp_path))
    assert [fault.partition(" cannot")[0] for fault in refused.value.faults] == ["the table 'load'", "the table 'sgen'"]
    assert all(message in fault for fault in refused.value.faults)


def test_places_where_no_file_is(tmp_path: Path) -> None:
    huge, pipe = tmp_path / "huge.json", tmp_path / "pipe"
    with huge.open("wb") as file:
        file.truncate(LARGEST_BYTES + 1)
    os.mkfifo(pipe)
    for path, message in (
        (tmp_path, "it is a directory"),
        (pipe, "not a regular file"),
        (Path("/dev/zero"), "not a regular file"),
        (huge, "the largest net that is read has 256 MiB"),
        (Path("a\0b"), "null byte"),
        (tmp_path / ("x" * 300), "File name too long"),
    ):
        with pytest.raises(NetFileError, match=message):
            read_net_file(path)


def test_nets_of_a_release_to_come(document: dict[str, Any], tmp_path: Path) -> None:
    document["_object"]["version"] = document["_object"]["format_version"] = "99.1"
    with pytest.raises(FeederError, match=r"cannot convert .*, which pandapower 99\.1 wrote: .* is newer than"):
        load_feeder(f"file:{saved(document, tmp_path)}")


def test_a_byte_order_mark_is_no_fault(document: dict[str, Any], tmp_path: Path) -> None:
    path = tmp_path / "net.json"
    path.write_bytes(b"\xef\xbb\xbf" + json.dumps(document).encode())
    assert len(read_net_file(path).net.load) == 4
