"""Where somebody else's head-end keeps its readings, as the user names it: `--stored URL|FILE.csv|FILE.parquet`."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import unquote, urlsplit, urlunsplit

import pyarrow.parquet as pq

from lab.errors import UserError
from lab.services.external import check_stored_url
from lab.verdict.adapters import (
    DEFAULT_QUERY,
    export_stored,
    query_is_ready,
    stored_from_csv,
    stored_from_parquet,
    within,
)
from lab.verdict.tables import TableError

HINT = "docs/external-head-end.md lists the columns that are needed, with an example."
_FORMS = "Name a PostgreSQL (postgresql://…?query=…), a .csv or a .parquet file; see docs/external-head-end.md."
_QUERY = "query="


@dataclass(frozen=True, slots=True)
class StoredQuery:
    """A query of a PostgreSQL. `url` holds the password: not for logs."""

    url: str = field(repr=False)
    query: str = DEFAULT_QUERY

    async def check(self) -> tuple[str, str | None]:
        """What to call it, and what the user should know. Raises UserError for what would fail at the run's end."""
        version = await check_stored_url(self.url)
        try:
            ready = await asyncio.to_thread(query_is_ready, self.url, self.query)
        except TableError as error:
            raise UserError(error.faults, HINT) from error
        notice = None if ready else "what --stored reads is not there yet; it must be when the run ends"
        return version, notice

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

    async def check(self) -> tuple[str, str | None]:
        """As StoredQuery.check. What is in the file is not looked at: it may be yesterday's."""
        notice = None if self.path.exists() else f"{self.path} is not there yet; it must be when the run ends"
        return self.path.name, notice

    def fetch(self, path: Path, *, start_s: float, end_s: float) -> int:
        """As StoredQuery.fetch."""
        try:
            read = stored_from_csv if self.path.suffix.lower() == ".csv" else stored_from_parquet
            table = within(read(self.path), start_s=start_s, end_s=end_s)
        except TableError as error:
            raise UserError(error.faults, HINT) from error
        pq.write_table(table, path, compression="zstd")
        return len(table)


StoredSource = StoredQuery | StoredFile


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
