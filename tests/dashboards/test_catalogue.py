"""The catalogue and what is made of it: complete, consistent, readable in light and dark, and as committed."""

from __future__ import annotations

import json
import re
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import yaml
from grafana_foundation_sdk.models import units
from typer.testing import CliRunner

from dashboards import generate
from dashboards.alert_json import provisioning_file
from dashboards.alerts import RULES
from dashboards.catalogue import DASHBOARDS
from dashboards.grafana import FOLDERS, HOUSEHOLDS_SOURCE, SOURCE, all_dashboards, data_sources, grafana_json
from dashboards.model import Dashboard, Panel
from dashboards.roles import ROLES
from dashboards.when_empty import WHEN_EMPTY, ZERO_IS_NOTHING
from lab.commands.main import app

REPOSITORY = Path(__file__).parents[2]
UNITS = {value for name, value in vars(units).items() if name.isupper() or isinstance(value, str)}
PANELS = [(dashboard, panel) for dashboard in DASHBOARDS for panel in dashboard.panels]
EACH_PANEL = pytest.mark.parametrize(
    ("dashboard", "panel"), PANELS, ids=[f"{dashboard.key}/{panel.key}" for dashboard, panel in PANELS]
)
BY_UID = {dashboard.uid: dashboard for dashboard in DASHBOARDS}


@EACH_PANEL
def test_a_panel_says_all_that_one_needs_to_read_it(dashboard: Dashboard, panel: Panel) -> None:
    assert panel.title
    assert panel.description.endswith(".")
    assert {panel.unit, *(column.unit for column in panel.columns if column.unit)} <= UNITS
    why, when = panel.when_empty.split(". ") if ". " in panel.when_empty else panel.when_empty.split(": ")
    assert why
    assert when.endswith("."), "why it is empty, and when it will not be"
    limits = [threshold.at for threshold in panel.thresholds]
    assert limits[:1] in ([], [None])
    assert all(low < high for low, high in pairwise(limit for limit in limits[1:] if limit is not None))
    if panel.kind in ("stat", "gauge", "map", "state"):
        assert panel.thresholds, "without them a figure has no colour"
    if panel.kind == "state":
        assert panel.mappings, "a state has a word"
    names = [column.name for column in panel.columns]
    assert len(names) == len(set(names))


def test_every_sentence_for_an_empty_panel_has_its_panel() -> None:
    assert set(WHEN_EMPTY) >= ZERO_IS_NOTHING
    assert set(WHEN_EMPTY) == {f"{each.key}/{panel.key}" for each in DASHBOARDS for panel in each.panels}


@EACH_PANEL
def test_a_link_leads_somewhere(dashboard: Dashboard, panel: Panel) -> None:
    for link in panel.links:
        goal = BY_UID[link.dashboard]
        assert link.variable is None or link.variable in {variable.name for variable in goal.variables}
        assert link.column is None or link.column in {column.name for column in panel.columns}


@EACH_PANEL
def test_a_panel_is_bound_to_a_time_or_to_a_choice(dashboard: Dashboard, panel: Panel) -> None:
    """What has neither says how things are now."""
    used = set(re.findall(r"\$\{(\w+)", panel.sql))
    assert used <= {variable.name for variable in dashboard.variables}
    timeless = {"operations/work", "operations/reachable", "operations/shown", "vendors/reachable"}
    assert used or "$__time" in panel.sql or f"{dashboard.key}/{panel.key}" in timeless


def test_uids_and_keys_are_unique_and_short() -> None:
    for names in (
        [dashboard.uid for dashboard in DASHBOARDS],
        [rule.uid for rule in RULES],
        [f"{dashboard.key}/{panel.key}" for dashboard, panel in PANELS],
    ):
        assert len(names) == len(set(names))
    assert all(len(uid) <= 40 for uid in [*BY_UID, *(rule.uid for rule in RULES)])


def test_every_file_of_sql_is_used() -> None:
    directory = REPOSITORY / "dashboards/sql"
    used = {f"{dashboard.key}/{panel.key}" for dashboard, panel in PANELS}
    used |= {f"variables/{variable.name}" for dashboard in DASHBOARDS for variable in dashboard.variables}
    used |= {f"alerts/{rule.key}" for rule in RULES} | {"extent/observed", "extent/load-test"}
    assert {str(path.relative_to(directory).with_suffix("")) for path in directory.rglob("*.sql")} == used


@pytest.mark.parametrize("dashboard", DASHBOARDS, ids=lambda dashboard: dashboard.key)
def test_grafana_gets_every_panel_in_a_place_of_its_own(dashboard: Dashboard) -> None:
    drawn = grafana_json(dashboard)
    assert [panel["title"] for panel in drawn["panels"]] == [panel.title for panel in dashboard.panels]
    assert len({panel["id"] for panel in drawn["panels"]}) == len(dashboard.panels)
    taken: set[tuple[int, int]] = set()
    for panel in drawn["panels"]:
        place = panel["gridPos"]
        assert place["x"] + place["w"] <= 24
        cells = {(place["x"] + x, place["y"] + y) for x in range(place["w"]) for y in range(place["h"])}
        assert not cells & taken
        taken |= cells
        assert {target["datasource"]["uid"] for target in panel["targets"]} == {
            HOUSEHOLDS_SOURCE if dashboard.households else SOURCE
        }


def test_no_colour_is_fixed_for_one_theme() -> None:
    text = json.dumps([*all_dashboards().values(), provisioning_file()])
    assert not re.findall(r"#[0-9a-fA-F]{3,8}\b|rgba?\(|\"(?:white|black)\"", text)
    assert '"style": "dark"' not in text


def test_only_one_dashboard_reads_what_households_used() -> None:
    personal = re.compile(
        r"\b(interval_reading|stored_reading|last_reading|reading_hourly|reading_daily|register_reading)\b"
    )
    for dashboard, panel in PANELS:
        assert dashboard.households or not personal.search(panel.sql), panel.key


def test_an_alert_rule_points_to_a_panel_that_is_there() -> None:
    drawn = all_dashboards()
    for rule in provisioning_file()["groups"][0]["rules"]:
        panels = drawn[rule["annotations"]["__dashboardUid__"]]["panels"]
        assert int(rule["annotations"]["__panelId__"]) in {panel["id"] for panel in panels}


def test_a_database_that_does_not_answer_rings_one_bell() -> None:
    rules = {rule["uid"]: rule for rule in provisioning_file()["groups"][0]["rules"]}
    mute = {uid: (rule["noDataState"], rule["execErrState"]) for uid, rule in rules.items()}
    assert mute.pop("amilab-no-reads") == ("Alerting", "Alerting")
    assert set(mute.values()) == {("OK", "OK")}


def test_the_committed_files_are_up_to_date() -> None:
    assert generate.outdated() == [], "run amilab dashboards build"


def test_building_again_changes_nothing_and_removes_what_is_no_more(tmp_path: Path) -> None:
    assert generate.write(tmp_path) == sorted(generate.files())
    (tmp_path / "network/old.json").write_text("{}")
    (tmp_path / "network/feeder.json").write_text("{}")
    assert generate.outdated(tmp_path) == ["network/feeder.json", "network/old.json"]
    generate.write(tmp_path)
    assert generate.write(tmp_path) == []
    assert not (tmp_path / "network/old.json").exists()


def test_the_command_checks_and_builds() -> None:
    assert CliRunner().invoke(app, ["dashboards", "build", "--check"]).exit_code == 0
    built = CliRunner().invoke(app, ["dashboards", "build"])
    assert (built.exit_code, built.output) == (0, "Everything is up to date.\n")


# --- what Compose mounts


def compose(path: str) -> Any:
    return yaml.safe_load((REPOSITORY / "compose" / path).read_text(encoding="utf-8"))


def mounted(service: str) -> dict[str, Path]:
    """Where in the container → which path of the repository, read-only ones."""
    found = {}
    for volume in compose("compose.yaml")["services"][service]["volumes"]:
        source, target, *mode = volume.split(":")
        if mode == ["ro"]:
            found[target] = (REPOSITORY / "compose" / source).resolve()
    return found


def test_compose_provisions_the_data_sources_that_a_push_would_send() -> None:
    provisioned = compose("grafana/provisioning/datasources/amilab.yaml")["datasources"]
    wanted = data_sources("database:5432", "amilab", sslmode="disable", users=ROLES)
    secrets = compose("compose.yaml")["services"]["grafana"]["secrets"]
    for there, source in zip(provisioned, wanted, strict=True):
        password = there.pop("secureJsonData")["password"]
        assert re.fullmatch(r"\$__file\{/run/secrets/(\w+)\}", password)[1] in secrets  # type: ignore[index]
        assert there.pop("editable") is False
        assert there == source


def test_compose_mounts_the_dashboards_and_rules() -> None:
    places = mounted("grafana")
    provisioning = "/etc/grafana/provisioning"
    assert (places[f"{provisioning}/datasources"] / "amilab.yaml").is_file()
    rules = json.loads((places[f"{provisioning}/alerting"] / "rules.json").read_text())
    assert rules == provisioning_file()
    providers = compose("grafana/provisioning/dashboards/amilab.yaml")["providers"]
    assert {provider["folderUid"]: provider["folder"] for provider in providers} == FOLDERS
    assert (places[f"{provisioning}/dashboards"] / "amilab.yaml").is_file()
    there = {
        dashboard["uid"]: provider["folderUid"]
        for provider in providers
        for path in places[provider["options"]["path"]].glob("*.json")
        for dashboard in [json.loads(path.read_text())]
    }
    assert there == {d.uid: HOUSEHOLDS_SOURCE if d.households else SOURCE for d in DASHBOARDS}


def test_rules_name_folders_and_data_sources_that_compose_provisions() -> None:
    sources = {source["uid"] for source in compose("grafana/provisioning/datasources/amilab.yaml")["datasources"]}
    (group,) = provisioning_file()["groups"]
    assert group["folder"] in FOLDERS.values()
    for rule in group["rules"]:
        assert {query["datasourceUid"] for query in rule["data"]} <= sources | {"__expr__"}
        assert rule["condition"] in {query["refId"] for query in rule["data"]}


def test_compose_makes_the_roles_by_the_same_statements() -> None:
    assert mounted("database")["/etc/amilab/role.sql"] == REPOSITORY / "dashboards/role.sql"
    secrets = compose("compose.yaml")["services"]["database"]["secrets"]
    assert {"grafana_database_password", "grafana_households_password"} <= set(secrets)
