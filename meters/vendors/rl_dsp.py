"""Encoder of the wire `rl-dsp`: docs/wire-rl-dsp.md, "what a meter says". Pure: values in, bytes out.

A *row of values* is one interval's numbers in the order of `COLUMNS`: registers and energies in Wh (int), powers in W
(int), voltages in V with one decimal (float), the profile status (int). Readings and load profiles carry the same rows.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from enum import IntFlag, StrEnum
from functools import lru_cache

import orjson

COLUMNS = (
    "1.8.0", "2.8.0", "1.29.0", "2.29.0",
    "21.29.0", "41.29.0", "61.29.0", "22.29.0", "42.29.0", "62.29.0",
    "1.7.0", "2.7.0", "32.7.0", "52.7.0", "72.7.0", "96.10.1",
)  # fmt: skip
"""OBIS codes C.D.E (IEC 62056-61) of a row of values."""

ROWS_PER_PART = 48
"""Most rows in one part of a load profile."""

PAYLOAD_LIMIT_BYTES = 16_000
"""Brokers of constrained networks cut here; nothing that a meter sends may be longer."""

WILL = b'{"state":{"value":"offline"}}'
"""A will cannot know when it will be sent, so it carries no time."""

Row = Sequence[int | float]


class Status(IntFlag):
    """96.10.1, the status of the load profile (DLMS UA blue book)."""

    CLOCK_INVALID = 1
    CLOCK_ADJUSTED = 2
    POWER_DOWN = 4
    POWER_UP = 8


class EventCode(StrEnum):
    """End device events that this profile knows."""

    LAST_GASP = "last_gasp"
    POWER_RESTORE = "power_restore"
    MOMENTARY = "momentary"
    REBOOT = "reboot"
    CLOCK_ADJUSTED = "clock_adjusted"
    COMMAND_REFUSED = "command_refused"


def client_id(group: str, serial: str) -> str:
    return f"{group}-{serial}"


def topic(group: str, serial: str, leaf: str) -> str:
    """Topic of what the meter sends; `leaf` is one of ds, ev, st, lp."""
    return f"dt/{group}/{serial}/{leaf}"


def command_topic(group: str, serial: str) -> str:
    return f"cmd/{group}/{serial}"


@lru_cache(maxsize=4096)
def timestamp(time_s: int) -> str:
    """ISO 8601, UTC, whole seconds: 2026-01-15T00:15:00+00:00."""
    return datetime.fromtimestamp(time_s, UTC).isoformat()


def encode_reading(interval_end_s: int, row: Row) -> bytes:
    """The reading that closes the interval ending at `interval_end_s` of the meter's clock. Raises ValueError."""
    meter: dict[str, object] = {"ts": timestamp(interval_end_s)}
    meter.update(zip(COLUMNS, row, strict=True))
    return orjson.dumps({"meter": meter})


def encode_event(device_time_s: int, sequence: int, code: str, detail: Mapping[str, object]) -> bytes:
    """`detail` has the keys that the table of events names; times in it are ISO 8601 already."""
    event = {"ts": timestamp(device_time_s), "seq": sequence, "code": code, "detail": dict(detail)}
    return orjson.dumps({"event": event})


def encode_online(device_time_s: int, boot: int) -> bytes:
    """The state after a successful connection. `boot` counts the starts of the communication processor."""
    return orjson.dumps({"state": {"ts": timestamp(device_time_s), "value": "online", "boot": boot}})


def encode_load_profile(
    *, command_id: str, device_time_s: int, from_s: int, to_s: int, interval_s: int, rows: Sequence[tuple[int, Row]]
) -> Iterator[bytes]:
    """The parts of a load profile that covers [from_s, to_s), in order; one part without rows if nothing was recorded.

    `rows` holds (end of the interval, row of values), by rising end. Raises ValueError if a part would be longer than
    `PAYLOAD_LIMIT_BYTES`.
    """
    parts = max(1, -(-len(rows) // ROWS_PER_PART))
    for part in range(parts):
        chunk = rows[part * ROWS_PER_PART : (part + 1) * ROWS_PER_PART]
        payload = orjson.dumps(
            {
                "profile": {
                    "command": command_id,
                    "ts": timestamp(device_time_s),
                    "from": timestamp(from_s),
                    "to": timestamp(to_s),
                    "part": part + 1,
                    "parts": parts,
                    "interval_s": interval_s,
                    "columns": COLUMNS,
                    "rows": [[timestamp(end_s), *_checked(row)] for end_s, row in chunk],
                }
            }
        )
        if len(payload) > PAYLOAD_LIMIT_BYTES:
            raise ValueError(f"a load-profile part of {len(payload)} bytes exceeds {PAYLOAD_LIMIT_BYTES}")
        yield payload


def _checked(row: Row) -> Row:
    if len(row) != len(COLUMNS):
        raise ValueError(f"a row of {len(row)} values; the profile has {len(COLUMNS)} columns")
    return row
