"""A head-end that is somebody else's: what it needs to know of a run, and what a run with it cannot do."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from lab.headends.stored_source import StoredSource
from lab.scenario.load import KillEvent, Scenario

CONNECT_FILE = "connect.json"
DEFAULT_LEAD_S = 60


@dataclass(frozen=True, slots=True)
class ExternalHeadEnd:
    """The user's own system. `lead_s`: how long it has to connect before the first judged interval can begin."""

    stored: StoredSource
    lead_s: int = DEFAULT_LEAD_S


def faults_with_external_head_end(
    scenario: Scenario, *, real_time: bool, database_url: str | None, stored: str | None
) -> list[str]:
    """Every reason why this run cannot be made with a head-end that is not ours."""
    faults = []
    if stored is None:
        faults.append("--headend external needs --stored: where your system keeps the readings that are to be judged")
    if not real_time:
        faults.append("--headend external needs --speed 1: only our own head-end can be told a simulated time")
    if database_url is not None:
        faults.append("--database-url is for our own head-end; with --headend external say --stored")
    faults += [
        f"the event in line {event.line} kills the head-end, which is not amilab's to kill"
        for event in scenario.events
        if isinstance(event, KillEvent) and event.part in ("headend", "ingest")
    ]
    return faults


@dataclass(frozen=True, slots=True)
class Connection:
    """How a head-end reaches the meters of a run. `username` None: with credentials that the user knows."""

    host: str
    port: int
    username: str | None
    password: str | None
    group: str
    shipment: Path
    command_key: Path
    interval_length_s: int | None
    """None: not the same for all meters."""

    @property
    def topic_filter(self) -> str:
        """What to subscribe to (docs/wire-rl-dsp.md)."""
        return f"dt/{self.group}/#"

    def lines(self) -> list[str]:
        """For the person who is to configure a head-end now."""
        own = "those of your broker"
        return [
            f"broker        {self.host}:{self.port}",
            f"user          {own if self.username is None else self.username}",
            f"password      {own if self.password is None else self.password}",
            f"topic filter  {self.topic_filter}",
            f"shipment      {self.shipment}",
        ]


class ConnectFile:
    """`connect.json` of a run, for the program that is to configure a head-end.

    It holds a password. So the file itself lies in the run's private directory, which is removed however the run
    ends, and the results only have a link to it.
    """

    def __init__(self, connection: Connection, *, private: Path, results: Path) -> None:
        self._connection = connection
        self._path = private / CONNECT_FILE
        self._link = results / CONNECT_FILE

    def write(self, *, judged: Sequence[float] | None = None, read_at_s: float | None = None) -> None:
        """Write or replace it in one step; `judged`: begin and end of the judged window, once they are known."""
        connection = self._connection
        begin_s, end_s = judged or (None, None)
        document = {
            "broker": {
                "host": connection.host,
                "port": connection.port,
                "username": connection.username,
                "password": connection.password,
            },
            "topic_filter": connection.topic_filter,
            "group": connection.group,
            "shipment": str(connection.shipment),
            "command_key": str(connection.command_key),
            "interval_length_s": connection.interval_length_s,
            "judged_from": _instant(begin_s),
            "judged_until": _instant(end_s),
            "stored_is_read_at": _instant(read_at_s),
        }
        fresh = self._path.with_suffix(".new")
        with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
            json.dump(document, file, indent=2)
        fresh.replace(self._path)
        if not self._link.is_symlink():
            self._link.symlink_to(self._path)

    def remove(self) -> None:
        """The password is of no use any more, and must not lie about."""
        self._path.unlink(missing_ok=True)
        self._link.unlink(missing_ok=True)


def _instant(time_s: float | None) -> str | None:
    return None if time_s is None else datetime.fromtimestamp(time_s, UTC).isoformat()
