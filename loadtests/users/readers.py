"""Somebody who looks at dashboards: runs the SQL of their panels, one after the other, as a role that may only read."""

from __future__ import annotations

import time
from collections.abc import Iterator

import psycopg

from loadtests import duties, panels
from loadtests.duties import Duty, Kind
from loadtests.users.base import NAMES, Scheduled


class Reader(Scheduled):
    """A session of its own; what a panel wants is the last day."""

    def join(self) -> None:
        reading = self.desk.plan.reading
        assert reading is not None, "readers come with a place to read"
        self._reading = reading
        self._number = self.desk.leases.take([f"reader-{number}" for number in range(self.desk.plan.readers)])
        self._connection = psycopg.connect(
            reading.url,
            autocommit=True,
            options=f"-c search_path={reading.schema},public -c default_transaction_read_only=on",
        )
        self._queries = panels.queries(self._rows, self._number)

    def duties(self, from_s: float) -> Iterator[Duty]:
        return duties.of_reader(self._number, self._reading.pause_s, self.desk.plan.rhythm, from_s)

    def do(self, duty: Duty) -> None:
        # Readers begin at different panels.
        query = self._queries[(duty.first + self._number) % len(self._queries)]
        place = self.desk.enter(duty)
        try:
            rows = self._rows(query.text(time.time()))
        except psycopg.Error as error:
            self.failed(query.name, error, NAMES[Kind.QUERY][0])
        else:
            self.done(duty, place, len(rows))

    def _rows(self, query: str) -> list[tuple[object, ...]]:
        return self._connection.execute(query.encode()).fetchall()

    def leave(self) -> None:
        if hasattr(self, "_number"):
            if hasattr(self, "_connection"):
                self._connection.close()
            self.desk.leases.give_back(f"reader-{self._number}")
