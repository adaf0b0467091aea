"""Numbers in messages that people read."""

from __future__ import annotations


def counted(count: int, singular: str, plural: str | None = None) -> str:
    """`1 customer`, `1,024 customers`"""
    return f"{count:,} {singular if count == 1 else plural or singular + 's'}"
