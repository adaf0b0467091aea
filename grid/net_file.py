"""Reads the JSON that `pandapower.to_json` writes, of any release since 1.x, without doing what the file says.

pandapower's own reader imports every module, and calls every class, that a file names. Here tables are taken as text
and numbers, and nothing else is made of them: whatever a net carries beside the tables that amilab reads (controllers,
characteristics, results, profiles) is left out. A file that names modules which pandapower itself never writes is
refused all the same: it is no net, or comes from somebody who means no good.

Old nets are then converted by pandapower's own function, as its `from_json` does; only coordinates are converted here,
since they may be wrong without harm (`grid.geo`).
"""

from __future__ import annotations

import json
import re
import stat
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandapower as pp
import pandas as pd
from numpy.typing import NDArray
from pandapower.convert_format import convert_format

from grid.net_tables import TABLES, UNSUPPORTED, drop_the_rest, read_tables
from grid.pandapower_calls import PandapowerError, pandapower_call
from grid.wording import counted

LARGEST_BYTES = 256 << 20
"""Tens of times what a city's low-voltage networks take."""
_KNOWN_MODULES = ("builtins", "geopandas", "networkx", "numpy", "pandapower", "pandas", "shapely", "simbench")
_NAMED_MODULE = re.compile(r'"_module\\*"\s*:\s*\\*"([^"\\]*)')
_AS_THEY_ARE = ("trafo_characteristic_table", "shunt_characteristic_table")
_SCALARS = ("version", "format_version", "name", "f_hz", "sn_mva")


class NetFileError(ValueError):
    """The file holds no net that can be read; `faults` says why."""

    def __init__(self, *faults: str) -> None:
        self.faults = faults
        super().__init__("; ".join(faults))


@dataclass(frozen=True, slots=True, eq=False)
class NetFile:
    """A net in the form of the installed pandapower. `faults`: of flags that its tables no longer show."""

    net: Any
    faults: tuple[str, ...]
    notices: tuple[str, ...] = field(default=())


def read_net_file(path: Path) -> NetFile:
    """Raises NetFileError."""
    text = _text_of(path)
    try:
        document = json.loads(text)
        if isinstance(document, dict) and isinstance(document.get("_object"), str):
            # So wrote pandapower 1.6 and 2.0.
            document["_object"] = json.loads(document["_object"])
    except (ValueError, RecursionError) as error:
        raise NetFileError(f"{path} is not JSON: {error}") from error
    content = _content(document)
    if content is None:
        raise NetFileError(f"{path} is not a pandapower net; write one with pandapower.to_json(net, {path.name!r})")
    strangers = sorted({name for name in _NAMED_MODULE.findall(text) if name.split(".")[0] not in _KNOWN_MODULES})
    if strangers:
        noun = "the Python module" if len(strangers) == 1 else "the Python modules"
        raise NetFileError(
            f"{path} names {noun} {', '.join(strangers[:10])[:300]}, which amilab does not import; "
            "remove what is of these kinds (controllers, for instance) and save the net again"
        )
    net, notices = _net_of(content)
    old = _major_version(net) < 2
    # Only names and units of pandapower 2 and later are known here: 1.x measures in kW.
    faults = read_tables(net, fill=not old)
    try:
        with pandapower_call():
            convert_format(net)
    except PandapowerError as error:
        raise NetFileError(
            *faults,
            f"pandapower {pp.__version__} cannot convert {path}, which pandapower {str(net.get('version'))[:20]} "
            f"wrote: {error}",
        ) from error
    drop_the_rest(net)
    return NetFile(net, tuple(faults), notices)


def _text_of(path: Path) -> str:
    try:
        found = path.stat()
        if stat.S_ISDIR(found.st_mode):
            raise NetFileError(f"cannot read {path}: it is a directory")
        if not stat.S_ISREG(found.st_mode):
            raise NetFileError(f"cannot read {path}: it is not a regular file")
        if found.st_size > LARGEST_BYTES:
            raise NetFileError(
                f"{path} has {found.st_size >> 20:,} MiB; the largest net that is read has {LARGEST_BYTES >> 20} MiB"
            )
        return path.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise NetFileError(f"cannot read {path}: it is not UTF-8 text") from error
    except (OSError, ValueError) as error:  # ValueError: a name with a zero byte
        if isinstance(error, NetFileError):
            raise
        reason = error.strerror if isinstance(error, OSError) else str(error)
        raise NetFileError(f"cannot read {path}: {reason}") from error


def _content(document: object) -> dict[str, Any] | None:
    """Table name → what the file has of it."""
    if not isinstance(document, dict):
        return None
    if document.get("_class") == "pandapowerNet":
        found = document.get("_object")
        return found if isinstance(found, dict) else None
    # Before 1.6 a net was a plain object.
    is_net = (
        "_class" not in document and isinstance(document.get("bus"), dict) and isinstance(document.get("line"), dict)
    )
    return document if is_net else None


def _net_of(content: dict[str, Any]) -> tuple[Any, tuple[str, ...]]:
    net = pp.create_empty_network()
    faults = []
    parameters = content.get("parameters")
    if isinstance(parameters, dict) and isinstance(parameters.get("parameter"), dict):
        content = {**parameters["parameter"], **content}
    net.update({name: content[name] for name in _SCALARS if name in content})
    for name in (*TABLES, *UNSUPPORTED, *_AS_THEY_ARE, "bus_geodata", "line_geodata"):
        if content.get(name) is None:
            continue
        try:
            table = _table(content[name])
        except (ValueError, RecursionError) as error:
            if not name.endswith("_geodata"):
                faults.append(f"the table {name!r} cannot be read: {error}")
            continue
        if len(table):
            # Columns of an empty one have no types.
            net[name] = table
    if faults:
        raise NetFileError(*faults)
    _give_positions(net)
    acting = _rows_of(content.get("controller"))
    controllers = counted(acting, "controller of the net does", "controllers of the net do")
    notices = (f"{controllers} not act: its taps stay as they are",) if acting else ()
    return net, notices


def _table(stored: object) -> Any:
    """A DataFrame of what pandapower writes for one. Raises ValueError."""
    content: object = stored
    types: object = None
    if isinstance(stored, dict) and "_object" in stored:
        content, types = stored["_object"], stored.get("dtype")
    if isinstance(content, str):
        content = json.loads(content)
    if not isinstance(content, dict):
        raise ValueError("it is no table")
    if isinstance(content.get("features"), list):
        return _features(content["features"])
    if not {"columns", "index", "data"} <= content.keys():
        # By column, then by row.
        if not all(isinstance(column, dict) for column in content.values()):
            raise ValueError("its columns are no objects")
        labels = list(dict.fromkeys(label for column in content.values() for label in column))
        data = [[column.get(label) for column in content.values()] for label in labels]
        return _frame(list(content), [int(label) if label.isdecimal() else label for label in labels], data, types)
    return _frame(content["columns"], content["index"], content["data"], types)


def _frame(columns: object, index: object, data: object, types: object) -> Any:
    if not (isinstance(columns, list) and isinstance(index, list) and isinstance(data, list)):
        raise ValueError("'columns', 'index' and 'data' must be lists")
    if len(index) != len(data) or not all(isinstance(row, list) and len(row) == len(columns) for row in data):
        raise ValueError(f"its data are not {len(index)} rows of {len(columns)} columns")
    if not all(isinstance(column, str) for column in columns):
        raise ValueError("the names of its columns are no texts")
    if any(isinstance(label, list | dict) for label in index):
        raise ValueError("its index is no list of numbers")
    stated = types if isinstance(types, dict) else {}
    cells = [_cells([row[at] for row in data], stated.get(column)) for at, column in enumerate(columns)]
    frame = pd.DataFrame(dict(enumerate(cells)), index=pd.Index(index, dtype=object))
    return frame.set_axis(pd.Index(columns, dtype=object), axis=1)


def _cells(values: list[Any], stated: object) -> NDArray[Any]:
    """Numbers with nothing between them, which is nan; else the cells as they are.

    :param stated: the type that the file names, which decides where all cells are nothing.
    """
    given = [value for value in values if value is not None]
    numbers = all(isinstance(value, int | float) and not isinstance(value, bool) for value in given)
    if numbers and (given or str(stated).lower().startswith(("float", "int", "uint"))):
        whole = len(given) == len(values) and all(isinstance(value, int) for value in given)
        try:
            return np.array([np.nan if value is None else value for value in values], np.int64 if whole else np.float64)
        except OverflowError:
            pass
    cells = np.empty(len(values), dtype=bool if given and all(isinstance(value, bool) for value in values) else object)
    cells[:] = values
    return cells


def _features(features: list[Any]) -> Any:
    """What geopandas makes of a table: a feature for each row."""
    if not all(isinstance(each, dict) and isinstance(each.get("properties"), dict) for each in features):
        raise ValueError("its features have no properties")
    columns = list(dict.fromkeys(name for each in features for name in each["properties"]))
    labels = [str(each.get("id", at)) for at, each in enumerate(features)]
    data = [[each["properties"].get(name) for name in columns] for each in features]
    return _frame(columns, [int(label) if label.isdecimal() else label for label in labels], data, {})


def _give_positions(net: Any) -> None:
    """Until pandapower 3 coordinates stood in tables of their own; what is wrong with them is for `grid.geo` to say."""
    for table, geodata in (("bus", "bus_geodata"), ("line", "line_geodata")):
        found = net.pop(geodata, None)
        if not isinstance(found, pd.DataFrame) or "geo" in net[table]:
            continue
        if table == "bus" and {"x", "y"} <= set(found.columns):
            positions = zip(found["x"], found["y"], strict=True)
            cells = [None if pd.isna([x, y]).all() else {"type": "Point", "coordinates": [x, y]} for x, y in positions]
        elif table == "line" and "coords" in found:
            cells = [{"type": "LineString", "coordinates": course} for course in found["coords"]]
        else:
            continue
        by_label = {str(label): json.dumps(cell, default=str) for label, cell in zip(found.index, cells, strict=True)}
        net[table]["geo"] = pd.Series([by_label.get(str(label)) for label in net[table].index], dtype=object).to_numpy()


def _rows_of(stored: object) -> int:
    if not isinstance(stored, dict):
        return 0
    try:
        return len(_table(stored))
    except (ValueError, RecursionError):
        return 0


def _major_version(net: Any) -> int:
    number = re.match(r"\d+", str(net.get("version", "")))
    return int(number.group()[:9]) if number else 0
