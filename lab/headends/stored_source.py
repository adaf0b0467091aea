"""Where somebody else's head-end keeps its readings, as the user names it: `--stored URL|FILE.csv|FILE.parquet`."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import unquote, urlsplit, urlunsplit

import pyarrow as pa
import pyarrow.parquet as pq

from lab.errors import UserError
from lab.services.external import check_stored_url
from lab.verdict.from_csv import stored_from_csv
from lab.verdict.from_parquet import stored_from_parquet, within
from lab.verdict.from_postgres import DEFAULT_QUERY, export_stored, query_is_ready
from lab.verdict.read_run import around_file
from lab.verdict.tables import TableError

HINT = "docs/external-head-end.md lists the columns that are needed, with an example."
_FORMS = "Name a PostgreSQL (postgresql://…?query=…), a .csv or a .parquet file; see docs/external-head-end.md."
_QUERY = "query="
_SUPERUSER = (
    "--stored connects as a superuser, whose queries can do more than read: make a role of its own "
    "(docs/external-head-end.md)"
)
_LOOKED_AT_ROWS = 1000
_AROUND_S = 26 * 3600
"""No clock is further off for being in another zone."""


@dataclass(frozen=True, slots=True)
class LookedAt:
    """What the verdict calls a place where readings are stored, and what its user should know before a run."""

    version: str
    notices: tuple[str, ...] = ()
    ready: bool = True
    """False: there is nothing to read yet, which a run may still make."""


@dataclass(frozen=True, slots=True)
class StoredQuery:
    """A query of a PostgreSQL. `url` holds the password: not for logs."""

    url: str = field(repr=False)
    query: str = DEFAULT_QUERY

    async def check(self) -> LookedAt:
        """Raises UserError for what would fail at the run's end."""
        server = await check_stored_url(self.url)
        try:
            ready = await asyncio.to_thread(query_is_ready, self.url, self.query)
        except TableError as error:
            raise UserError(error.faults, HINT) from error
        notices = [] if ready else ["what --stored reads is not there yet; it must be when the run ends"]
        if server.as_superuser:
            notices.append(_SUPERUSER)
        return LookedAt(server.version, tuple(notices), ready)

    def fetch(self, path: Path, *, start_s: float, end_s: float) -> int:
        """Write the intervals that start in [start_s, end_s) to `path` as parquet; returns how many. UserError."""
        try:
            return export_stored(self.url, path, query=self.query, start_s=start_s, end_s=end_s)
        except TableError as error:
            raise UserError(error.faults, HINT) from error


@dataclass(frozen=True, slots=True)
class StoredFile:
    """A CSV or parquet file that is there when the run ends."""

    path: Path

    async def check(self) -> LookedAt:
        """As StoredQuery.check: of a file that is there already the first rows are read, whatever day they are of."""
        if not self.path.exists():
            return LookedAt(self.path.name, (f"{self.path} is not there yet; it must be when the run ends",), False)
        notices: list[str] = []
        try:
            await asyncio.to_thread(self._read, rows_at_most=_LOOKED_AT_ROWS, tell=notices.append)
        except TableError as error:
            raise UserError(error.faults, HINT) from error
        return LookedAt(self.path.name, tuple(notices))

    def fetch(self, path: Path, *, start_s: float, end_s: float) -> int:
        """As StoredQuery.fetch."""
        try:
            table = within(self._read(), start_s=start_s, end_s=end_s)
        except TableError as error:
            raise UserError(error.faults, HINT) from error
        pq.write_table(table, path, compression="zstd")
        return len(table)

    def _read(self, *, rows_at_most: int | None = None, tell: Callable[[str], object] = lambda _: None) -> pa.Table:
        read = stored_from_csv if self.path.suffix.lower() == ".csv" else stored_from_parquet
        return read(self.path, rows_at_most=rows_at_most, tell=tell)


StoredSource = StoredQuery | StoredFile


def fetch_stored(source: StoredSource, path: Path, *, start_s: float, end_s: float) -> int:
    """As `source.fetch`. If there is no such reading, those around it come to a file beside: a clock may be off.

    :raises UserError: likewise.
    """
    count = source.fetch(path, start_s=start_s, end_s=end_s)
    beside = around_file(path)
    beside.unlink(missing_ok=True)
    if count == 0 and source.fetch(beside, start_s=start_s - _AROUND_S, end_s=end_s + _AROUND_S) == 0:
        beside.unlink()
    return count


def parse_stored(text: str) -> StoredSource:
    """Understand what follows --stored, without looking at it. Raises UserError, which does not repeat a password."""
    scheme, separator, _ = text.partition("://")
    if separator:
        if scheme not in ("postgresql", "postgres"):
            raise UserError("--stored is an address, but not one of a PostgreSQL", _FORMS)
        return _parse_query(text)
    path = Path(text)
    if path.suffix.lower() not in (".csv", ".parquet"):
        raise UserError(f"--stored is {text!r}: neither an address nor a .csv or .parquet file", _FORMS)
    if not path.absolute().parent.is_dir():
        raise UserError(f"--stored is {text!r}, but there is no directory {path.absolute().parent}", _FORMS)
    return StoredFile(path.absolute())


def _parse_query(url: str) -> StoredQuery:
    try:
        parts = urlsplit(url)
    except ValueError:
        raise UserError("--stored is not a valid address: its host cannot be read", _FORMS) from None
    if parts.fragment:
        raise UserError("--stored has a '#' in it", "Percent-encode it as %23.")
    # libpq refuses parameters that it does not know: `query` is ours and is taken out.
    parameters = parts.query.split("&") if parts.query else []
    queries = [unquote(p.removeprefix(_QUERY)) for p in parameters if p.startswith(_QUERY)]
    if len(queries) > 1:
        raise UserError(
            "--stored has more than one `query`", "Percent-encode the query: & as %26, blanks as %20, = as %3D."
        )
    if queries and not queries[0].strip():
        raise UserError("--stored has an empty `query`", "Leave it out to read the relation stored_reading.")
    others = "&".join(parameter for parameter in parameters if not parameter.startswith(_QUERY))
    return StoredQuery(urlunsplit(parts._replace(query=others)), *queries)
