"""Looks into a head-end's tables."""

from typing import Any

import psycopg


class Reader:
    """Reads a head-end's tables over a connection of its own."""

    def __init__(self, url: str, schema: str) -> None:
        self._url = url
        self._schema = schema
        self._connection: psycopg.Connection[tuple[Any, ...]] | None = None

    def rows(self, query: str, *arguments: object) -> list[tuple[Any, ...]]:
        if self._connection is None or self._connection.closed:
            self._connection = psycopg.connect(
                self._url, autocommit=True, options=f"-csearch_path={self._schema},public"
            )
        return self._connection.execute(query, arguments).fetchall()

    def value(self, query: str, *arguments: object) -> Any:
        return self.rows(query, *arguments)[0][0]

    def close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None
