"""What images carry of SimBench is what the package carries: curves bit for bit, and nets as simbench makes them."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest
import simbench
from pandapower.toolbox import nets_equal

from grid.compact_profiles import DATASETS, KEPT, NOTICE, TIME, UNUSED, compact, compacted, read_compacted, read_text
from grid.pandapower_calls import quiet_pandapower
from grid.profiles import load_profiles

_SPEC = importlib.util.find_spec("simbench")
assert _SPEC is not None
assert _SPEC.submodule_search_locations
INSTALLED = Path(_SPEC.submodule_search_locations[0]) / "networks"
MOST_BYTES = 30_000_000


@pytest.fixture(scope="module")
def networks(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """simbench's directory, made compact; what is installed is only looked at."""
    root = tmp_path_factory.mktemp("simbench") / "networks"
    for dataset in DATASETS:
        (root / dataset).mkdir(parents=True)
        for path in (INSTALLED / dataset).iterdir():
            (root / dataset / path.name).symlink_to(path)
    compact(root)
    return root


@pytest.mark.parametrize("name", KEPT)
@pytest.mark.parametrize("dataset", DATASETS)
def test_every_curve_comes_back_bit_for_bit(networks: Path, dataset: str, name: str) -> None:
    path = networks / dataset / name
    if not compacted(path).exists():
        assert (dataset, name) == (DATASETS[1], "StorageProfile.csv"), "only the scenario of today has no storages"
        return
    whole = read_text(INSTALLED / dataset / name)
    back = read_compacted(path, whole.column_names)
    assert back.column_names == whole.column_names
    assert [n for n in whole.column_names if whole[n].to_numpy().tobytes() != back[n].to_numpy().tobytes()] == []
    # The order, and each by itself, is the reader's choice.
    some = whole.column_names[-3::-1][:2]
    assert read_compacted(path, some).equals(read_text(INSTALLED / dataset / name, some))


def test_demand_is_made_of_the_same_numbers(networks: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    known = load_profiles()
    load_profiles.cache_clear()
    monkeypatch.setattr("grid.profiles._dataset_directory", lambda scenario: networks / DATASETS[(1, 0, 2)[scenario]])
    try:
        found = load_profiles()
    finally:
        load_profiles.cache_clear()
    for kind in ("households", "businesses", "heat_pumps", "photovoltaics"):
        ours, theirs = getattr(found, kind), getattr(known, kind)
        assert ours.names == theirs.names
        assert ours.active.tobytes() == theirs.active.tobytes()
        assert ours.reactive.tobytes() == theirs.reactive.tobytes()


@pytest.mark.parametrize("code", ["1-LV-rural1--0-no_sw", "1-LV-semiurb4--2-sw"])
def test_simbench_makes_the_same_net_of_the_first_rows(networks: Path, code: str) -> None:
    dataset = f"1-complete_data-mixed-all-{code.split('-')[-2]}-sw"
    with quiet_pandapower():
        whole = simbench.get_simbench_net(code)
        made = simbench.get_simbench_net(code, input_path=str(networks / dataset))
    for net in (whole, made):
        net.pop("profiles")
    assert nets_equal(whole, made)


def test_little_is_left_of_it_and_it_says_whose_it_is(networks: Path) -> None:
    ours = [path for path in networks.rglob("*") if path.is_file() and not path.is_symlink()]
    assert sum(path.stat().st_size for path in ours) < MOST_BYTES
    assert {path.name for path in ours if path.suffix == ".csv"} <= {*KEPT, *UNUSED}
    assert "Open Database License" in (networks / NOTICE).read_text()


def test_to_make_it_compact_again_changes_nothing(networks: Path) -> None:
    before = {path: path.read_bytes() for path in networks.rglob("*.parquet")}
    compact(networks)
    assert {path: path.read_bytes() for path in networks.rglob("*.parquet")} == before


def test_the_instants_of_the_rows_are_still_named(networks: Path) -> None:
    first = (networks / DATASETS[0] / KEPT[0]).read_text().splitlines()
    assert first[0].split(";")[0] == TIME
    assert first[1].startswith("01.01.2016 00:00")
