"""The catalogue as Grafana's JSON, by grafana-foundation-sdk. Pure.

Colours are names of Grafana's palette, which it draws differently in its light and its dark theme; `text` is that of
the theme. A state is never told by colour alone: it has a word.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import Any

from grafana_foundation_sdk.builders import (
    barchart,
    common,
    gauge,
    geomap,
    stat,
    statetimeline,
    table,
    timeseries,
)
from grafana_foundation_sdk.builders import dashboard as build
from grafana_foundation_sdk.cog.builder import Builder
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.cog.variants import Dataquery
from grafana_foundation_sdk.models import common as words
from grafana_foundation_sdk.models import dashboard as model
from grafana_foundation_sdk.models import geomap as geomap_words

from dashboards.catalogue import DASHBOARDS
from dashboards.model import Column, Dashboard, Level, Link, Panel, Threshold, Variable

Json = dict[str, Any]
Draw = Callable[[Panel], Any]

SOURCE_TYPE = "grafana-postgresql-datasource"
SOURCE, HOUSEHOLDS_SOURCE = "amilab", "amilab-households"
FOLDERS = {SOURCE: "amilab", HOUSEHOLDS_SOURCE: "amilab: households"}
"""Title by uid. Who may see what households used is decided by the rights on the second one."""
TAG = "amilab"
MOST_POINTS = 500
SHORTEST_INTERVAL = "15m"
# Light and dark are Grafana's own business with these.
COLOURS: dict[Level, str] = {"good": "green", "warning": "orange", "bad": "red", "neutral": "text"}


class Query(Dataquery, Builder[Dataquery]):
    """A query of Grafana's PostgreSQL data source, which the SDK has no type for."""

    def __init__(self, sql: str, *, shape: str, source: str, ref_id: str = "A") -> None:
        self.ref_id = ref_id
        self._body: Json = {
            "refId": ref_id,
            "datasource": {"type": SOURCE_TYPE, "uid": source},
            "editorMode": "code",
            "format": shape,
            "rawQuery": True,
            "rawSql": sql,
        }

    def to_json(self) -> Json:
        return self._body

    def build(self) -> Query:
        return self


def source_of(dashboard: Dashboard) -> str:
    """The uid of its data source, which is that of its folder as well."""
    return HOUSEHOLDS_SOURCE if dashboard.households else SOURCE


def panel_id(dashboard: Dashboard, key: str) -> int:
    """Grafana's number of a panel. Raises StopIteration for a key that the dashboard does not have."""
    return next(number for number, panel in enumerate(dashboard.panels, start=1) if panel.key == key)


def grafana_json(dashboard: Dashboard) -> Json:
    """What Grafana keeps of a dashboard, without the `id` and `version` that it gives itself."""
    source = model.DataSourceRef(type_val=SOURCE_TYPE, uid=source_of(dashboard))
    builder = (
        build.Dashboard(dashboard.title)
        .uid(dashboard.uid)
        .description(dashboard.description)
        .tags(list(dashboard.tags))
        .editable()
        .timezone("utc")
        .time(dashboard.time_from, dashboard.time_to)
        .refresh(dashboard.refresh)
        .tooltip(model.DashboardCursorSync.CROSSHAIR)
        .link(
            build.DashboardLink("Dashboards")
            .type(model.DashboardLinkType.DASHBOARDS)
            .tags([TAG])
            .as_dropdown(True)
            .keep_time(True)
        )
        .annotation(_annotations())
    )
    for variable in dashboard.variables:
        builder = builder.with_variable(_variable(variable, source))
    for number, panel in enumerate(dashboard.panels, start=1):
        builder = builder.with_panel(_panel(panel, source).id(number))
    found: Json = json.loads(json.dumps(builder.build(), cls=JSONEncoder))
    return found


def all_dashboards() -> dict[str, Json]:
    """Grafana's JSON of all dashboards, by uid."""
    return {dashboard.uid: grafana_json(dashboard) for dashboard in DASHBOARDS}


def data_sources(url: str, database: str, *, sslmode: str, users: Sequence[str]) -> list[Json]:
    """The two data sources without their passwords. `url`: host:port. `users`: without and with households."""
    return [
        {
            "name": FOLDERS[uid],
            "uid": uid,
            "type": SOURCE_TYPE,
            "access": "proxy",
            "url": url,
            "user": user,
            "isDefault": uid == SOURCE,
            "jsonData": {
                "database": database,
                "sslmode": sslmode,
                "postgresVersion": 1500,
                # $__timeGroup is then the same on every database.
                "timescaledb": False,
                # A page has about ten panels; the role has 20 connections.
                "maxOpenConns": 8,
                "maxIdleConns": 2,
                # A session sees the schema that it began with.
                "connMaxLifetime": 60,
                "timeInterval": SHORTEST_INTERVAL,
            },
        }
        for uid, user in zip((SOURCE, HOUSEHOLDS_SOURCE), users, strict=True)
    ]


def _annotations() -> Any:
    """What a scenario did, as `amilab dashboards push --run` tells it."""
    return (
        build.AnnotationQuery()
        .name("Scenario")
        .datasource(model.DataSourceRef(type_val="grafana", uid="-- Grafana --"))
        .enable(True)
        .icon_color("purple")
        .target(build.AnnotationTarget().type("tags").tags([TAG]).limit(100).match_any(False))
    )


def _variable(variable: Variable, source: model.DataSourceRef) -> Any:
    if variable.sql is None:
        return build.CustomVariable(variable.name).label(variable.label).values(",".join(variable.options))
    return (
        build.QueryVariable(variable.name)
        .label(variable.label)
        .datasource(source)
        .query(variable.sql)
        .refresh(model.VariableRefresh.ON_DASHBOARD_LOAD)
        .sort(model.VariableSort.DISABLED)
        .multi(False)
        .include_all(False)
    )


def _panel(panel: Panel, source: model.DataSourceRef) -> Any:
    shape = "time_series" if panel.kind in ("timeseries", "state") else "table"
    lowest, highest = panel.scale
    builder = (
        _DRAW[panel.kind](panel)
        .title(panel.title)
        .description(panel.description)
        .datasource(source)
        .with_target(Query(panel.sql, shape=shape, source=str(source.uid)))
        .interval(SHORTEST_INTERVAL if "$__interval" in panel.sql else "1s")
        .max_data_points(MOST_POINTS)
        .unit(panel.unit)
        .span(panel.span)
        .height(panel.height)
        .thresholds(_thresholds(panel.thresholds))
    )
    if panel.decimals is not None:
        builder = builder.decimals(panel.decimals)
    if lowest is not None:
        builder = builder.min(lowest)
    if highest is not None:
        builder = builder.max(highest)
    if panel.mappings:
        builder = builder.mappings([_mapping(panel)])
    if own := [link for link in panel.links if link.column is None]:
        builder = builder.links([_link(link) for link in own])
    for column in panel.columns:
        if properties := _properties(panel, column):
            builder = builder.override_by_name(column.name, properties)
    return builder


def _properties(panel: Panel, column: Column) -> list[model.DynamicConfigValue]:
    """What is said of a column beside what is said of its panel."""
    found: Json = {}
    if column.title is not None:
        found["displayName"] = column.title
    if column.unit is not None:
        found["unit"] = column.unit
    if column.decimals is not None:
        found["decimals"] = column.decimals
    if column.judged:
        found["custom.cellOptions"] = {"type": "color-text"}
    elif panel.kind == "table" and panel.thresholds and column.type == "number":
        # Else the panel's limits would be this column's, too.
        found["thresholds"] = {"mode": "absolute", "steps": [{"value": None, "color": COLOURS["neutral"]}]}
    if links := [_link(link) for link in panel.links if link.column == column.name]:
        found["links"] = [json.loads(json.dumps(link.build(), cls=JSONEncoder)) for link in links]
    return [model.DynamicConfigValue(id_val=key, value=value) for key, value in found.items()]


def _link(link: Link) -> Any:
    variable = "" if link.variable is None else f"&var-{link.variable}=${{__value.raw}}"
    return build.DashboardLink(link.title).url(f"/d/{link.dashboard}?${{__url_time_range}}{variable}")


def _thresholds(thresholds: Sequence[Threshold]) -> Any:
    steps = [model.Threshold(value=step.at, color=COLOURS[step.level]) for step in thresholds]
    return (
        build.ThresholdsConfig()
        .mode(model.ThresholdsMode.ABSOLUTE)
        .steps(steps or [model.Threshold(value=None, color=COLOURS["neutral"])])
    )


def _mapping(panel: Panel) -> model.ValueMap:
    return model.ValueMap(
        options={
            f"{mapping.value:g}": model.ValueMappingResult(text=mapping.text, color=COLOURS[mapping.level], index=index)
            for index, mapping in enumerate(panel.mappings)
        }
    )


def _by(mode: model.FieldColorModeId) -> Any:
    return build.FieldColor().mode(mode)


_BY_LEVEL, _BY_SERIES = model.FieldColorModeId.THRESHOLDS, model.FieldColorModeId.PALETTE_CLASSIC


def _stat(_panel: Panel) -> Any:
    return (
        stat.Panel()
        .color_mode(words.BigValueColorMode.VALUE)
        .graph_mode(words.BigValueGraphMode.NONE)
        .text_mode(words.BigValueTextMode.VALUE_AND_NAME)
        .reduce_options(common.ReduceDataOptions().calcs(["lastNotNull"]).fields("").values(False))
        .color_scheme(_by(_BY_LEVEL))
    )


def _gauge(_panel: Panel) -> Any:
    return (
        gauge.Panel()
        .reduce_options(common.ReduceDataOptions().calcs(["lastNotNull"]).fields("").values(False))
        .color_scheme(_by(_BY_LEVEL))
    )


def _legend() -> Any:
    return (
        common.VizLegendOptions()
        .display_mode(words.LegendDisplayMode.LIST)
        .placement(words.LegendPlacement.BOTTOM)
        .show_legend(True)
    )


def _timeseries(panel: Panel) -> Any:
    builder = (
        timeseries.Panel()
        .draw_style(words.GraphDrawStyle.LINE)
        .line_width(2)
        .fill_opacity(15 if panel.stacked else 5)
        .show_points(words.VisibilityMode.AUTO)
        .legend(_legend())
        .tooltip(common.VizTooltipOptions().mode(words.TooltipDisplayMode.MULTI).sort(words.SortOrder.NONE))
        .color_scheme(_by(_BY_SERIES))
    )
    if any(column.name == "metric" for column in panel.columns):
        # Each metric has instants of its own; between them is no gap.
        builder = builder.span_nulls(True)
    if panel.stacked:
        builder = builder.stacking(common.StackingConfig().mode(words.StackingMode.NORMAL).group("A"))
    if panel.stepped:
        builder = builder.line_interpolation(words.LineInterpolation.STEP_AFTER)
    if panel.thresholds:
        builder = builder.thresholds_style(
            common.GraphThresholdsStyleConfig().mode(words.GraphThresholdsStyleMode.DASHED)
        )
    return builder


def _bar(panel: Panel) -> Any:
    one = len(panel.columns) == 2
    return (
        barchart.Panel()
        .x_field(panel.columns[0].name)
        .x_tick_label_max_length(24)
        .stacking(words.StackingMode.NORMAL if panel.stacked else words.StackingMode.NONE)
        .show_value(words.VisibilityMode.AUTO)
        .legend(_legend())
        .color_scheme(_by(_BY_LEVEL if one and panel.thresholds else _BY_SERIES))
    )


def _table(_panel: Panel) -> Any:
    return table.Panel().show_header(True).cell_height(words.TableCellHeight.SM).color_scheme(_by(_BY_LEVEL))


def _state(_panel: Panel) -> Any:
    return (
        statetimeline.Panel()
        .merge_values(True)
        .show_value(words.VisibilityMode.AUTO)
        .legend(_legend())
        .color_scheme(_by(_BY_LEVEL))
    )


def _map(_panel: Panel) -> Any:
    style = {
        "color": {"field": "value", "fixed": "text"},
        "size": {"fixed": 4, "min": 2, "max": 8},
        "opacity": 0.8,
        "symbol": {"mode": "fixed", "fixed": "img/icons/marker/circle.svg"},
    }
    location = common.FrameGeometrySource().mode(words.FrameGeometrySourceMode.COORDS)
    layer = (
        common.MapLayerOptions()
        .type("markers")
        .name("usage points")
        .config({"style": style, "showLegend": True})
        .location(location.latitude("latitude").longitude("longitude"))
        .tooltip(True)
    )
    return (
        geomap.Panel()
        .view(geomap.MapViewConfig().id("fit").all_layers(True).padding(10).zoom(15))
        # The one that Grafana's operator has configured; where it cannot be had, the customers alone are there.
        .basemap(common.MapLayerOptions().type("default").name("base"))
        .layers([layer])
        .tooltip(geomap.TooltipOptions().mode(geomap_words.TooltipMode.DETAILS))
        .controls(geomap.ControlsOptions().show_zoom(True).mouse_wheel_zoom(True).show_scale(True))
        .color_scheme(_by(_BY_LEVEL))
    )


_DRAW: dict[str, Draw] = {
    "stat": _stat,
    "gauge": _gauge,
    "timeseries": _timeseries,
    "bar": _bar,
    "table": _table,
    "state": _state,
    "map": _map,
}
