"""SimBench's profiles in a thirteenth of the room, bit for bit the same: `python -m grid.compact_profiles`.

The package `simbench` carries each year's curves as text, 320 MB of its 381. Images keep them as whole numbers of the
last digit that is given, in Parquet beside the CSV files. Of those only the first rows are left, which simbench wants
to make a net. A curve that two scenarios have alike is stored once. What would not come back bit for bit stays.

The data are SimBench's (ODbL 1.0, see grid/profiles.py), and so is what this makes of them; `NOTICE.txt` says so there.
"""

from __future__ import annotations

import argparse
import importlib.util
import itertools
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from pyarrow import csv, parquet

DATASETS = tuple(f"1-complete_data-mixed-all-{scenario}-sw" for scenario in (1, 0, 2))
"""The first has every curve, the others those that differ in them."""
KEPT = ("LoadProfile.csv", "RESProfile.csv", "StorageProfile.csv")
UNUSED = ("PowerPlantProfile.csv",)
"""No load, no infeed of low voltage: nothing reads these."""
NOTICE = "NOTICE.txt"
_NOTICE = """\
The Parquet files below this directory are a reformatted extract of SimBench (https://simbench.de): the load, renewable
and storage profiles of its complete data sets, unchanged in every value. Source: S. Meinecke et al., "SimBench - A
Benchmark Dataset of Electric Power Systems to Compare Innovative Solutions Based on Power Flow Analysis", Energies
2020, 13(12), 3290.

SimBench, and this extract, are made available under the Open Database License:
http://opendatacommons.org/licenses/odbl/1.0/. Any rights in individual contents of the database are licensed under the
Database Contents License: http://opendatacommons.org/licenses/dbcl/1.0/.

The CSV files of profiles here hold their first rows only; the whole is in the package simbench on PyPI.
"""
TIME = "time"
_FIRST_ROWS = 3
"""Of a CSV file that is left, the names of the columns included."""
_MOST_DIGITS = 10
_DIGITS = b"digits"


def compact(networks: Path) -> None:
    """Of the datasets in simbench's directory `networks`. What is compact already stays as it is."""
    for name in KEPT:
        known: dict[str, bytes] = {}
        for dataset in DATASETS:
            path = networks / dataset / name
            if not _has_curves(path) or compacted(path).exists():
                continue
            table = read_text(path)
            new = {}
            for column in table.column_names:
                curve = table[column].to_numpy()
                if known.get(column) != curve.tobytes():
                    new[column] = curve
            if dataset == DATASETS[0]:
                known = {column: curve.tobytes() for column, curve in new.items()}
            _write(compacted(path), new)
    for dataset, name in itertools.product(DATASETS, (*KEPT, *UNUSED)):
        _cut(networks / dataset / name)
    (networks / NOTICE).write_text(_NOTICE)


def compacted(path: Path) -> Path:
    """Where the curves of a CSV file are, if they were made compact."""
    return path.with_suffix(".parquet")


def read_text(path: Path, columns: Sequence[str] | None = None) -> pa.Table:
    """Curves of a CSV file as numbers, all of them if not given. Raises OSError, pa.ArrowException."""
    with path.open(encoding="utf-8") as file:
        names = file.readline().rstrip().split(";")
    wanted = [name for name in names if name != TIME] if columns is None else list(columns)
    return csv.read_csv(
        path,
        parse_options=csv.ParseOptions(delimiter=";"),
        convert_options=csv.ConvertOptions(
            include_columns=wanted,
            column_types={name: pa.float64() for name in wanted if name != TIME},
        ),
    )


def read_compacted(path: Path, columns: Sequence[str]) -> pa.Table:
    """The same curves of the same CSV file, from what `compact` made of it. Raises OSError, pa.ArrowException."""
    first = compacted(path.parents[1] / DATASETS[0] / path.name)
    own = set(parquet.read_schema(compacted(path)).names)
    curves: dict[str, NDArray[np.float64]] = {}
    for place, names in (
        (compacted(path), [name for name in columns if name in own]),
        (first, [name for name in columns if name not in own]),
    ):
        table = parquet.read_table(place, columns=names)
        for field in table.schema:
            values = table[field.name].to_numpy()
            digits = (field.metadata or {}).get(_DIGITS)
            curves[field.name] = values if digits is None else values / 10.0 ** int(digits)
    return pa.table({name: curves[name] for name in columns})


def _has_curves(path: Path) -> bool:
    """A scenario without storages has no such file, or an empty one."""
    if not path.is_file():
        return False
    with path.open(encoding="utf-8") as file:
        return len(list(itertools.islice(file, _FIRST_ROWS + 1))) > _FIRST_ROWS


def _write(path: Path, curves: dict[str, NDArray[np.float64]]) -> None:
    fields, arrays, whole = [], [], []
    for name, curve in curves.items():
        digits, values = _whole(curve)
        fields.append(pa.field(name, values.type, metadata=None if digits is None else {_DIGITS: str(digits).encode()}))
        arrays.append(values)
        whole += [] if digits is None else [name]
    parquet.write_table(
        pa.table(arrays, schema=pa.schema(fields)),
        path,
        compression="zstd",
        compression_level=19,
        use_dictionary=False,
        column_encoding=dict.fromkeys(whole, "DELTA_BINARY_PACKED") or None,
    )


def _whole(curve: NDArray[np.float64]) -> tuple[int | None, pa.Array]:
    """As whole numbers of the last of so many digits; as it is, where that would not bring the same bits back."""
    for digits in range(_MOST_DIGITS + 1):
        whole = np.round(curve * 10.0**digits)
        if (whole / 10.0**digits).tobytes() == curve.tobytes():
            return digits, pa.array(whole.astype(np.int64))
    return None, pa.array(curve)


def _cut(path: Path) -> None:
    if path.is_file():
        with path.open(encoding="utf-8") as file:
            first = list(itertools.islice(file, _FIRST_ROWS))
        path.unlink()
        path.write_text("".join(first), encoding="utf-8")


def main() -> None:
    parser = argparse.ArgumentParser(description="Make the profiles of the installed package simbench compact.")
    parser.add_argument("networks", nargs="?", type=Path, help="its directory networks/, if not the installed one's")
    networks: Path | None = parser.parse_args().networks
    if networks is None:
        spec = importlib.util.find_spec("simbench")
        if spec is None or not spec.submodule_search_locations:
            sys.exit("the package simbench is not installed")
        networks = Path(spec.submodule_search_locations[0]) / "networks"
    compact(networks)


if __name__ == "__main__":
    main()
