"""Bring folders, data sources, dashboards, alert rules and annotations to a Grafana, through its HTTP API.

Each thing is looked up by its uid and sent only if it is missing or differs, so a second push sends nothing. What
Grafana adds by itself (ids, versions, defaults) is no difference.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote, urlsplit

import requests
from grafana_client.api import GrafanaApi
from grafana_client.client import GrafanaException, GrafanaServerError

from dashboards.alert_json import rule_group
from dashboards.alerts import GROUP
from dashboards.catalogue import DASHBOARDS
from dashboards.grafana import FOLDERS, SOURCE, TAG, grafana_json, source_of

Json = dict[str, Any]

OLDEST = (11, 0)
"""The oldest Grafana whose alerting, folders and panels are those that are sent."""
_MOST_ANNOTATIONS = 10_000
_UNAUTHORISED, _FORBIDDEN, _NOT_FOUND, _CONFLICT, _PRECONDITION = 401, 403, 404, 409, 412
_NO_GRAFANA, _ADDRESS = "answers, but not like a Grafana", "Is it the address of another service?"
_RUNNING = "Is it running, is the address right?"


class GrafanaRefused(Exception):  # noqa: N818 - names the state
    """Grafana cannot be reached, is too old, or does not take what it is sent. `hint` says what to do."""

    def __init__(self, message: str, hint: str) -> None:
        super().__init__(message)
        self.hint = hint


@dataclass(frozen=True, slots=True)
class Mark:
    """Something that a run did, for the time axes. Epoch s; `until_s` None for an instant."""

    time_s: float
    until_s: float | None
    text: str
    tags: tuple[str, ...] = ()


@dataclass(slots=True)
class Report:
    """What was done, in words, and how many things were as they should be already."""

    done: list[str] = field(default_factory=list)
    unchanged: int = 0


class Grafana:
    """One Grafana. Every method raises GrafanaRefused."""

    def __init__(self, url: str, *, token: str | None = None, user: tuple[str, str] | None = None) -> None:
        """`url`: http(s)://host[:port][/path]; `token`: of a service account, or a `user` with password."""
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise GrafanaRefused(f"{url!r} is no URL of a Grafana", "Write it like http://localhost:3000.")
        if parts.username or parts.password:
            raise GrafanaRefused("the URL has credentials in it", "Pass the token by itself.")
        self._url = url.rstrip("/")
        path = parts.path.strip("/")
        # Without types; each call's answer is looked at below.
        self._api: Any = GrafanaApi(
            token if token is not None else user,
            host=parts.hostname,
            port=parts.port,
            protocol=parts.scheme,
            url_path_prefix=f"{path}/" if path else "",
        )
        self.report = Report()

    def check(self) -> str:
        """The version, if it is one that takes what we send, and lets us in."""
        found = self._ask(self._api.health.check)
        if not isinstance(found, dict) or "database" not in found:
            raise GrafanaRefused(f"{self._url} {_NO_GRAFANA}", _ADDRESS)
        # To strangers a Grafana may hide its version.
        settings = self._ask(self._api.client.GET, "/frontend/settings")
        version = str(found.get("version") or settings.get("buildInfo", {}).get("version") or "")
        numbers = re.match(r"(\d+)\.(\d+)", version)
        if numbers is None or (int(numbers[1]), int(numbers[2])) < OLDEST:
            oldest = ".".join(map(str, OLDEST))
            raise GrafanaRefused(
                f"Grafana {version or 'of unknown version'} is too old: {oldest} or newer is needed",
                "Update Grafana, or import the files of dashboards/generated/ by hand.",
            )
        return version

    def push_folders(self) -> None:
        folders = self._api.folder
        for uid, title in FOLDERS.items():
            there = self._find(folders.get_folder, uid)
            if there is None:
                self._send(f"folder {title}", folders.create_folder, title, uid)
            elif there["title"] != title:
                self._send(f"folder {title}", folders.update_folder, uid, title, version=there.get("version"))
            else:
                self.report.unchanged += 1

    def push_data_sources(
        self, wanted: Iterable[Json], passwords: Mapping[str, str], *, renew_passwords: bool = False
    ) -> None:
        """`passwords` by uid. Grafana tells nobody a password: it is sent with what is new or differs, else only on
        `renew_passwords`."""
        sources = self._api.datasource
        for source in wanted:
            what = f"data source {source['name']}"
            full = {**source, "secureJsonData": {"password": passwords[source["uid"]]}}
            there = self._find(sources.get_datasource_by_uid, source["uid"])
            if there is None:
                self._send(what, sources.create_datasource, full)
                continue
            has_password = (there.get("secureJsonFields") or {}).get("password")
            if has_password and not renew_passwords and contains(there, source):
                self.report.unchanged += 1
            else:
                full["version"] = there.get("version")
                self._send(what, sources.update_datasource_by_uid, source["uid"], full)

    def push_dashboards(self) -> None:
        for dashboard in DASHBOARDS:
            wanted, folder = grafana_json(dashboard), source_of(dashboard)
            body: Json = {"folderUid": folder, "message": "amilab dashboards push", "overwrite": False}
            there = self._find(self._api.dashboard.get_dashboard, dashboard.uid)
            if there is None:
                body["dashboard"] = {**wanted, "id": None}
            elif there["meta"].get("folderUid") == folder and contains(there["dashboard"], wanted):
                self.report.unchanged += 1
                continue
            else:
                # With the version that was looked at: somebody who saves meanwhile is told of, not overwritten.
                body["dashboard"] = {**wanted, **{key: there["dashboard"][key] for key in ("id", "version")}}
            self._send(f"dashboard {dashboard.title}", self._api.dashboard.update_dashboard, body)

    def push_alert_rules(self) -> None:
        """The whole group at once: a rule that is no more in it goes."""
        rules, wanted = self._api.alertingprovisioning, rule_group()
        there = self._find(rules.get_rule_group, SOURCE, GROUP)
        if there is not None and contains(there, wanted):
            self.report.unchanged += len(wanted["rules"])
        else:
            self._send(f"alert rules {GROUP}", rules.update_rule_group, SOURCE, GROUP, wanted, disable_provenance=True)

    def push_marks(self, run: str, marks: Iterable[Mark]) -> None:
        """Annotations for a run, which all dashboards show."""
        tag = f"run:{run}"
        found = self._ask(
            self._api.annotations.get_annotation, tags=[TAG, quote(tag, safe="")], limit=_MOST_ANNOTATIONS
        )
        there = {(mark["time"], mark.get("timeEnd") or mark["time"], mark["text"]) for mark in found}
        for mark in marks:
            from_ms = round(mark.time_s * 1000)
            to_ms = from_ms if mark.until_s is None else round(mark.until_s * 1000)
            if (from_ms, to_ms, mark.text) in there:
                self.report.unchanged += 1
            else:
                self._send(
                    f"annotation {mark.text}",
                    self._api.annotations.add_annotation,
                    time_from=from_ms,
                    time_to=to_ms,
                    tags=[TAG, tag, *mark.tags],
                    text=mark.text,
                )

    def _send(self, what: str, call: Callable[..., Any], *arguments: Any, **named: Any) -> None:
        self._ask(call, *arguments, what=what, **named)
        self.report.done.append(what)

    def _find(self, call: Callable[..., Any], *arguments: Any) -> Any:
        """None where Grafana has no such thing."""
        try:
            return self._ask(call, *arguments)
        except GrafanaRefused as refused:
            if getattr(refused.__cause__, "status_code", None) == _NOT_FOUND:
                return None
            raise

    def _ask(self, call: Callable[..., Any], *arguments: Any, what: str | None = None, **named: Any) -> Any:
        try:
            return call(*arguments, **named)
        except GrafanaException as error:
            raise self._refusal(error, what) from error
        except requests.exceptions.JSONDecodeError as error:
            raise GrafanaRefused(f"{self._url} {_NO_GRAFANA}", _ADDRESS) from error
        except requests.exceptions.Timeout as error:
            raise GrafanaRefused(f"Grafana at {self._url} does not answer in time", "Is it overloaded?") from error
        except requests.exceptions.RequestException as error:
            raise GrafanaRefused(f"no Grafana answers at {self._url}: {_first_line(error)}", _RUNNING) from error

    def _refusal(self, error: GrafanaException, what: str | None) -> GrafanaRefused:
        thing = f"{what}: " if what else ""
        said = error.response.get("message") if isinstance(error.response, dict) else str(error.response or error)
        status = error.status_code
        if status == _UNAUTHORISED:
            return GrafanaRefused(
                f"Grafana at {self._url} does not know the token",
                "Make one under Administration → Service accounts, with the role Admin, and pass it as GRAFANA_TOKEN.",
            )
        if status == _FORBIDDEN:
            return GrafanaRefused(f"{thing}the token may not do this: {said}", "Give its account the role Admin.")
        if status in (_CONFLICT, _PRECONDITION):
            return GrafanaRefused(
                f"{thing}somebody else changed it meanwhile, or has another of that name: {said}",
                "Push again; if it stays so, rename or remove the other one.",
            )
        if "provisioned" in str(said).lower():
            return GrafanaRefused(
                f"{thing}this Grafana has it from its provisioning files: {said}",
                "Change those files instead: the Compose project mounts dashboards/generated/.",
            )
        if isinstance(error, GrafanaServerError):
            return GrafanaRefused(f"{thing}Grafana failed with {status}: {said}", "See Grafana's own log.")
        return GrafanaRefused(f"{thing}Grafana does not take it ({status}): {said}", "Is it of a newer, other make?")


def contains(there: Any, wanted: Any) -> bool:
    """Whether `there` says all that `wanted` says; more is no difference, except in lists."""
    if isinstance(wanted, dict):
        return isinstance(there, dict) and all(
            contains(there.get(key), value) for key, value in wanted.items() if value is not None
        )
    if isinstance(wanted, list):
        return (
            isinstance(there, list)
            and len(there) == len(wanted)
            and all(contains(*pair) for pair in zip(there, wanted, strict=True))
        )
    return bool(there == wanted)


def _first_line(error: BaseException) -> str:
    return (str(error) or type(error).__name__).splitlines()[0]
