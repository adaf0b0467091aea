"""`pg_dump` and `pg_restore` of this machine, where there is no container."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from psycopg.conninfo import conninfo_to_dict

from lab.services.database_dump import run_streaming

VARIABLES = {
    "host": "PGHOST", "port": "PGPORT", "user": "PGUSER", "password": "PGPASSWORD", "sslmode": "PGSSLMODE",
    "gssencmode": "PGGSSENCMODE",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class LocalPrograms:
    """Those of a directory, on the server of `url`."""

    directory: Path
    url: str

    async def run(
        self, program: str, *arguments: str, given: BinaryIO | None = None, to: BinaryIO | None = None
    ) -> None:
        parameters = conninfo_to_dict(self.url)
        where = [f"{VARIABLES[name]}={parameters[name]}" for name in VARIABLES if parameters.get(name)]
        command = ["env", *where, str(self.directory / program), *arguments]
        await run_streaming(command, what=program, given=given, to=to)
