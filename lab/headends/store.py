"""Where the head-end of a run stores: ours in a database of the run, an external one wherever its owner says."""

from __future__ import annotations

from dataclasses import dataclass

from lab.headends.stored_source import StoredSource
from lab.services.postgres import EmbeddedPostgres


@dataclass(frozen=True, slots=True)
class Database:
    """Where the head-end stores. Its addresses hold passwords: not for logs.

    `url`: for the head-end, and for what the lab does with its schema. The lab does that as no other role, since in a
    schema there may be functions and triggers of its owner's.
    """

    url: str
    schema: str
    version: str
    timescaledb: str | None
    embedded: EmbeddedPostgres | None = None
    seen_url: str | None = None
    """`url` as the head-end sees it, if that is another address than the lab's."""
    admin_url: str | None = None
    """A superuser's, where the database is the lab's own."""


@dataclass(frozen=True, slots=True)
class ExternalStore:
    """Where somebody else's head-end stores; `version` is what the verdict calls it."""

    source: StoredSource
    version: str
    timescaledb: None = None
