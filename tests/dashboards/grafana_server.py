"""Grafana's HTTP API as far as it is documented for what amilab sends, over a real socket, with Grafana's memory.

No package carries a Grafana. So this keeps to what its documentation says of each call: which fields a body must and
may have (anything else is answered 400), which status a call answers and when, what Grafana adds to what it is given.
Facts are from "HTTP API" of Grafana's documentation (dashboards, folders, data sources, annotations, alerting
provisioning).
"""

# ruff: noqa: N815 - the fields have Grafana's names

from __future__ import annotations

import json
import re
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Annotated, Any, Literal
from urllib.parse import parse_qs, unquote, urlsplit

from pydantic import BaseModel, ConfigDict, Field, ValidationError

Json = dict[str, Any]
TOKEN = "glsa_right"
Uid = Annotated[str, Field(pattern=r"^[a-zA-Z0-9_-]{1,40}$")]


class Body(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)


class NewFolder(Body):
    title: str
    uid: Uid | None = None
    parentUid: str | None = None


class ChangedFolder(Body):
    title: str
    version: int | None = None
    overwrite: bool = False


class Source(Body):
    name: str
    uid: Uid
    type: str
    access: Literal["proxy", "direct"]
    url: str = ""
    user: str = ""
    isDefault: bool = False
    jsonData: Json = {}
    secureJsonData: dict[str, str] = {}
    version: int | None = None


class Target(BaseModel):
    """Of a panel: each has a letter and names its data source."""

    model_config = ConfigDict(extra="allow")
    refId: str
    datasource: dict[Literal["type", "uid"], str]
    rawSql: str
    format: Literal["table", "time_series"]


class GridPos(Body):
    x: Annotated[int, Field(ge=0, le=23)]
    y: int
    w: Annotated[int, Field(ge=1, le=24)]
    h: int
    static: bool = False


class Panel(BaseModel):
    model_config = ConfigDict(extra="allow")
    id: int
    type: str
    title: str
    description: str
    gridPos: GridPos
    targets: list[Target]


class Model(BaseModel):
    """A dashboard. `schemaVersion`: of its form."""

    model_config = ConfigDict(extra="allow")
    id: int | None
    uid: Uid
    title: str
    schemaVersion: Annotated[int, Field(ge=16)]
    version: int | None = None
    panels: list[Panel]


class SavedDashboard(Body):
    dashboard: Model
    folderUid: str | None = None
    message: Annotated[str, Field(max_length=500)] = ""
    overwrite: bool = False


class TimeRange(Body):
    from_: int = Field(alias="from")
    to: int


class AlertQuery(Body):
    refId: str
    queryType: str = ""
    relativeTimeRange: TimeRange
    datasourceUid: str
    model: Json


class Rule(Body):
    """ProvisionedAlertRule."""

    id: int | None = None
    uid: Uid
    orgID: int
    folderUID: str
    ruleGroup: Annotated[str, Field(min_length=1, max_length=190)]
    title: Annotated[str, Field(min_length=1, max_length=190)]
    condition: str
    data: list[AlertQuery]
    noDataState: Literal["Alerting", "NoData", "OK"]
    execErrState: Literal["OK", "Alerting", "Error"]
    for_: Annotated[str, Field(alias="for", pattern=r"^(\d+(ms|s|m|h|d|w))+$")]
    annotations: dict[str, str] = {}
    labels: dict[str, str] = {}
    isPaused: bool = False


class RuleGroup(Body):
    title: str
    folderUid: str
    interval: Annotated[int, Field(multiple_of=10)]
    rules: list[Rule]


class Annotation(Body):
    text: Annotated[str, Field(min_length=1)]
    time: int | None = None
    timeEnd: int | None = None
    tags: list[str] = []
    panelId: int | None = None
    dashboardUID: str | None = None


class Answered(Exception):  # noqa: N818 - an answer, not an error
    def __init__(self, status: int, body: Json | list[Json]) -> None:
        super().__init__(status)
        self.status, self.body = status, body


def refusal(code: int, message: str, **more: str) -> Answered:
    return Answered(code, {"message": message, **more})


@dataclass
class FakeGrafana:
    """Its memory, and what was asked of it. `before_save`: somebody else's doing, just before a dashboard is saved."""

    version: str = "12.1.1"
    role: Literal["Admin", "Viewer"] = "Admin"
    hides_version: bool = False
    provisioned: set[str] = field(default_factory=set)
    folders: dict[str, Json] = field(default_factory=dict)
    sources: dict[str, Json] = field(default_factory=dict)
    passwords: dict[str, str] = field(default_factory=dict)
    dashboards: dict[str, Json] = field(default_factory=dict)
    groups: dict[tuple[str, str], Json] = field(default_factory=dict)
    annotations: list[Json] = field(default_factory=list)
    requests: list[tuple[str, str]] = field(default_factory=list)
    before_save: Callable[[FakeGrafana], None] = lambda _grafana: None

    @property
    def writes(self) -> list[tuple[str, str]]:
        return [(method, path) for method, path in self.requests if method != "GET"]

    def answer(self, method: str, target: str, headers: dict[str, str], content: bytes) -> Answered:
        parts = urlsplit(target)
        path = unquote(parts.path)
        self.requests.append((method, path))
        if path == "/api/health":
            shown = {} if self.hides_version else {"version": self.version, "commit": "abc"}
            return Answered(200, {"database": "ok", **shown})
        if headers.get("authorization") != f"Bearer {TOKEN}":
            return refusal(401, "Invalid API key")
        if method != "GET" and self.role != "Admin":
            return refusal(403, "You'll need additional permissions to perform this action.")
        for verb, pattern, handler in _ROUTES:
            if verb == method and (found := re.fullmatch(pattern, path)):
                try:
                    body = json.loads(content) if content else None
                    return handler(self, body, parse_qs(parts.query), headers, *found.groups())
                except Answered as answered:
                    return answered
                except ValidationError as error:
                    return refusal(400, f"bad request data: {error}")
        return refusal(404, "Not found")


_ROUTES: list[tuple[str, str, Callable[..., Answered]]] = []


def route(verb: str, pattern: str) -> Callable[[Callable[..., Answered]], Callable[..., Answered]]:
    def enter(handler: Callable[..., Answered]) -> Callable[..., Answered]:
        _ROUTES.append((verb, pattern, handler))
        return handler

    return enter


def dumped(body: Body | BaseModel) -> Json:
    return body.model_dump(by_alias=True)


@route("GET", "/api/frontend/settings")
def settings(grafana: FakeGrafana, *_: Any) -> Answered:
    return Answered(200, {"buildInfo": {"version": grafana.version}})


@route("GET", "/api/folders/([^/]+)")
def folder(grafana: FakeGrafana, _body: Any, _query: Any, _headers: Any, uid: str) -> Answered:
    if uid not in grafana.folders:
        raise refusal(404, "folder not found", status="not-found")
    return Answered(200, grafana.folders[uid])


@route("POST", "/api/folders")
def new_folder(grafana: FakeGrafana, body: Json, *_: Any) -> Answered:
    wanted = NewFolder.model_validate(body)
    uid = wanted.uid or f"f{len(grafana.folders)}"
    if uid in grafana.folders:
        raise refusal(409, "a folder with the same uid already exists")
    grafana.folders[uid] = {"id": len(grafana.folders) + 1, "uid": uid, "title": wanted.title, "version": 1}
    return Answered(200, grafana.folders[uid])


@route("PUT", "/api/folders/([^/]+)")
def changed_folder(grafana: FakeGrafana, body: Json, _query: Any, _headers: Any, uid: str) -> Answered:
    wanted = ChangedFolder.model_validate(body)
    there = grafana.folders[uid]
    if not wanted.overwrite and wanted.version != there["version"]:
        raise refusal(412, "The folder has been changed by someone else", status="version-mismatch")
    there |= {"title": wanted.title, "version": there["version"] + 1}
    return Answered(200, there)


@route("GET", "/api/datasources/uid/([^/]+)")
def source(grafana: FakeGrafana, _body: Any, _query: Any, _headers: Any, uid: str) -> Answered:
    if uid not in grafana.sources:
        raise refusal(404, "Data source not found")
    return Answered(200, grafana.sources[uid])


def _keep_source(grafana: FakeGrafana, wanted: Source, version: int) -> Answered:
    if any(other["name"] == wanted.name and uid != wanted.uid for uid, other in grafana.sources.items()):
        raise refusal(409, "data source with the same name already exists")
    there = grafana.sources.get(wanted.uid, {"id": len(grafana.sources) + 1, "orgId": 1, "secureJsonFields": {}})
    kept = {key: value for key, value in dumped(wanted).items() if key != "secureJsonData"}
    fields = {**there["secureJsonFields"], **dict.fromkeys(wanted.secureJsonData, True)}
    grafana.sources[wanted.uid] = {**there, **kept, "secureJsonFields": fields, "version": version, "readOnly": False}
    if password := wanted.secureJsonData.get("password"):
        grafana.passwords[wanted.uid] = password
    return Answered(200, {"datasource": grafana.sources[wanted.uid], "name": wanted.name})


@route("POST", "/api/datasources")
def new_source(grafana: FakeGrafana, body: Json, *_: Any) -> Answered:
    wanted = Source.model_validate(body)
    if wanted.uid in grafana.sources:
        raise refusal(409, "data source with the same uid already exists")
    return _keep_source(grafana, wanted, 1)


@route("PUT", "/api/datasources/uid/([^/]+)")
def changed_source(grafana: FakeGrafana, body: Json, _query: Any, _headers: Any, uid: str) -> Answered:
    wanted = Source.model_validate(body)
    there = grafana.sources[uid]
    if wanted.version is not None and wanted.version < there["version"]:
        raise refusal(409, "Datasource has already been updated by someone else. Please reload and try again")
    return _keep_source(grafana, wanted, there["version"] + 1)


@route("GET", "/api/dashboards/uid/([^/]+)")
def dashboard(grafana: FakeGrafana, _body: Any, _query: Any, _headers: Any, uid: str) -> Answered:
    if uid not in grafana.dashboards:
        raise refusal(404, "Dashboard not found")
    return Answered(200, grafana.dashboards[uid])


@route("POST", "/api/dashboards/db")
def saved_dashboard(grafana: FakeGrafana, body: Json, *_: Any) -> Answered:
    wanted = SavedDashboard.model_validate(body)
    grafana.before_save(grafana)
    uid = wanted.dashboard.uid
    if uid in grafana.provisioned:
        raise refusal(400, "Cannot save provisioned dashboard")
    if wanted.folderUid is not None and wanted.folderUid not in grafana.folders:
        raise refusal(404, "folder not found")
    there = grafana.dashboards.get(uid)
    if there is not None and not wanted.overwrite:
        if wanted.dashboard.id != there["dashboard"]["id"]:
            raise refusal(412, "A dashboard with the same uid already exists", status="name-exists")
        if wanted.dashboard.version != there["dashboard"]["version"]:
            raise refusal(412, "The dashboard has been changed by someone else", status="version-mismatch")
    number = there["dashboard"]["id"] if there else len(grafana.dashboards) + 1
    version = there["dashboard"]["version"] + 1 if there else 1
    kept = {**body["dashboard"], "id": number, "version": version}
    grafana.dashboards[uid] = {"dashboard": kept, "meta": {"folderUid": wanted.folderUid or ""}}
    return Answered(200, {"id": number, "uid": uid, "status": "success", "version": version, "url": f"/d/{uid}"})


@route("GET", "/api/v1/provisioning/folder/([^/]+)/rule-groups/([^/]+)")
def rule_group(grafana: FakeGrafana, _body: Any, _query: Any, _headers: Any, folder: str, name: str) -> Answered:
    if (folder, name) not in grafana.groups:
        raise refusal(404, "rule group not found")
    return Answered(200, grafana.groups[folder, name])


@route("PUT", "/api/v1/provisioning/folder/([^/]+)/rule-groups/([^/]+)")
def changed_group(
    grafana: FakeGrafana, body: Json, _query: Any, headers: dict[str, str], folder: str, name: str
) -> Answered:
    wanted = RuleGroup.model_validate(body)
    if folder not in grafana.folders:
        raise refusal(400, "folder does not exist")
    for rule in wanted.rules:
        letters = {query.refId for query in rule.data}
        sources = {query.datasourceUid for query in rule.data} - {"__expr__"}
        if rule.condition not in letters:
            raise refusal(400, f"condition {rule.condition} does not exist, must be one of {letters}")
        if unknown := sources - grafana.sources.keys():
            raise refusal(400, f"failed to find data sources {unknown}")
    provenance = "" if headers.get("x-disable-provenance") else "api"
    rules: list[dict[str, Any]] = [
        {**rule, "for": written(rule["for"]), "id": number, "provenance": provenance, "updated": "2026-01-01T00:00:00Z"}
        for number, rule in enumerate(dumped(wanted)["rules"], start=1)
    ]
    for written_rule in rules:
        for query in written_rule["data"]:
            query["model"] = {"intervalMs": 1000, "maxDataPoints": 43200, **query["model"]}
    grafana.groups[folder, name] = {"title": name, "folderUid": folder, "interval": wanted.interval, "rules": rules}
    return Answered(200, grafana.groups[folder, name])


def written(duration: str) -> str:
    """Grafana gives a duration back in the largest units: 300s as 5m."""
    units = {"w": 604_800, "d": 86_400, "h": 3600, "m": 60, "s": 1}
    left = sum(int(n) * units[unit] for n, unit in re.findall(r"(\d+)([wdhms])", duration))
    text = ""
    for unit, unit_s in units.items():
        count, left = divmod(left, unit_s)
        text += f"{count}{unit}" if count else ""
    return text or "0s"


@route("GET", "/api/annotations")
def found_annotations(grafana: FakeGrafana, _body: Any, query: dict[str, list[str]], *_: Any) -> Answered:
    tags, limit = set(query.get("tags", ())), int(query.get("limit", ["100"])[0])
    return Answered(200, [mark for mark in grafana.annotations if tags <= set(mark["tags"])][:limit])


@route("POST", "/api/annotations")
def new_annotation(grafana: FakeGrafana, body: Json, *_: Any) -> Answered:
    wanted = Annotation.model_validate(body)
    number = len(grafana.annotations) + 1
    kept = {**dumped(wanted), "id": number, "timeEnd": wanted.timeEnd or wanted.time, "alertId": 0}
    grafana.annotations.append(kept)
    return Answered(200, {"message": "Annotation added", "id": number})


@contextmanager
def serving(grafana: FakeGrafana) -> Iterator[str]:
    """Serve it on a free port; yields the URL."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def _serve(self) -> None:
            content = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            headers = {name.lower(): value for name, value in self.headers.items()}
            answered = grafana.answer(self.command, self.path, headers, content)
            body = json.dumps(answered.body).encode()
            self.send_response(answered.status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        do_GET = do_POST = do_PUT = do_DELETE = do_PATCH = _serve

        def log_message(self, *_: Any) -> None:
            """What was asked is in `requests`."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
