"""Numbers, times and others' words in messages that people read."""

from __future__ import annotations


def counted(count: int, singular: str, plural: str | None = None) -> str:
    """`1 customer`, `1,024 customers`"""
    return f"{count:,} {singular if count == 1 else plural or singular + 's'}"


def clock(offset_s: int) -> str:
    """HH:MM:SS of an offset; the hours may exceed 24."""
    return f"{offset_s // 3_600:02}:{offset_s // 60 % 60:02}:{offset_s % 60:02}"
