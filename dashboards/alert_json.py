"""Alert rules as Grafana's JSON, by grafana-foundation-sdk: for its API and for a provisioning file. Pure."""

from __future__ import annotations

import json
from typing import Any

from grafana_foundation_sdk.builders import alerting
from grafana_foundation_sdk.cog.builder import Builder
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.cog.variants import Dataquery
from grafana_foundation_sdk.models import alerting as model

from dashboards.alerts import EVERY_S, GROUP, RULES, AlertRule
from dashboards.catalogue import DASHBOARDS
from dashboards.grafana import FOLDERS, SOURCE, Query, panel_id

Json = dict[str, Any]
EXPRESSIONS = "__expr__"
_QUERY, _CONDITION = "A", "C"
_BY_UID = {dashboard.uid: dashboard for dashboard in DASHBOARDS}


class _Threshold(Dataquery, Builder[Dataquery]):
    """Whether the query's figure is above a limit. The SDK's own type leaves the form that rules take open."""

    def __init__(self, above: float) -> None:
        self._body: Json = {
            "refId": _CONDITION,
            "type": "threshold",
            "datasource": {"type": EXPRESSIONS, "uid": EXPRESSIONS},
            "expression": _QUERY,
            "conditions": [{"evaluator": {"type": "gt", "params": [above]}}],
        }

    def to_json(self) -> Json:
        return self._body

    def build(self) -> _Threshold:
        return self


def duration(length_s: int) -> str:
    """As Grafana writes it, so that what it gives back is what it was sent: 90s, 15m, 1h."""
    for unit, unit_s in (("d", 86_400), ("h", 3600), ("m", 60)):
        if length_s and length_s % unit_s == 0:
            return f"{length_s // unit_s}{unit}"
    return f"{length_s}s"


def alert_rule(rule: AlertRule) -> Json:
    """A rule as the provisioning API takes it."""
    back = model.RelativeTimeRange(from_val=rule.range_s, to=0)
    builder = (
        alerting.Rule(rule.title)
        .uid(rule.uid)
        .org_id(1)
        .folder_uid(SOURCE)
        .rule_group(GROUP)
        .condition(_CONDITION)
        .queries(
            [
                alerting.Query(_QUERY)
                .datasource_uid(SOURCE)
                .query_type("")
                .relative_time_range(back)
                .model(Query(rule.sql, shape="table", source=SOURCE)),
                alerting.Query(_CONDITION)
                .datasource_uid(EXPRESSIONS)
                .query_type("")
                .relative_time_range(back)
                .model(_Threshold(rule.above)),
            ]
        )
        .for_val(duration(rule.lasting_s))
        .no_data_state(rule.when_mute)
        .exec_err_state(rule.when_mute)
        .is_paused(False)
        .labels({"severity": rule.severity, "system": "amilab"})
        .annotations(
            {
                "summary": rule.summary,
                "__dashboardUid__": rule.dashboard,
                "__panelId__": str(panel_id(_BY_UID[rule.dashboard], rule.panel)),
            }
        )
    )
    found: Json = json.loads(json.dumps(builder.build(), cls=JSONEncoder))
    return found


def rule_group() -> Json:
    """All rules, as the API takes a group."""
    return {"title": GROUP, "folderUid": SOURCE, "interval": EVERY_S, "rules": [alert_rule(rule) for rule in RULES]}


def provisioning_file() -> Json:
    """All rules, as Grafana reads them from a file at its start."""
    left_out = ("orgID", "folderUID", "ruleGroup")
    rules = [{key: value for key, value in alert_rule(rule).items() if key not in left_out} for rule in RULES]
    group = {"orgId": 1, "name": GROUP, "folder": FOLDERS[SOURCE], "interval": duration(EVERY_S), "rules": rules}
    return {"apiVersion": 1, "groups": [group]}
