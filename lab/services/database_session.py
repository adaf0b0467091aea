"""How the lab's own connections to a PostgreSQL begin, whatever that database, its role or the server set as default.

A database may show dates in the German way, have another time zone or encoding, or be read-only unless asked. None of
that may change what is read or written. The head-end has a list of its own (headend/store/migrate.py): who judges takes
nothing from who is judged.
"""

from __future__ import annotations

import re

from psycopg.conninfo import conninfo_to_dict, make_conninfo

_PLAIN = (
    "DateStyle=ISO,MDY",
    "IntervalStyle=postgres",
    "TimeZone=UTC",
    "extra_float_digits=1",
    "standard_conforming_strings=on",
    r"default_transaction_isolation=read\ committed",
    "client_min_messages=warning",
)
ENCODING = "UTF8"


def session(url: str, *settings: str, schema: str | None = None, read_only: bool | None = False) -> str:
    """The libpq connection string of `url`, with settings that prevail over those of server, database, role and URL.

    :param settings: more of them, each like "lock_timeout=30s".
    :param schema: the search path, with `public` behind it, where extensions keep their functions.
    :param read_only: of transactions that do not say it themselves; None leaves it as it is.
    :raises psycopg.ProgrammingError: the URL cannot be read.
    """
    given = str(conninfo_to_dict(url).get("options") or "")
    wanted = [*_PLAIN, *settings]
    if read_only is not None:
        wanted.append(f"default_transaction_read_only={'on' if read_only else 'off'}")
    if schema is not None:
        # An identifier, in options where a blank or a backslash is escaped.
        name = re.sub(r"([\s\\])", r"\\\1", '"' + schema.replace('"', '""') + '"')
        wanted.append(f"search_path={name},public")
    options = " ".join([given, *(f"-c{setting}" for setting in wanted)]).strip()
    return make_conninfo(url, options=options, client_encoding=ENCODING)
