"""Encoder of the wire `rl-dsp`: docs/wire-rl-dsp.md, "what a meter says". Pure: values in, bytes out."""

from __future__ import annotations

from collections.abc import Iterator

import orjson

from meters.carriers.wire import Said
from meters.device.obis import COLUMNS, DEMAND_AT, REGISTERS, shown, values
from meters.device.records import CommandAnswer, Event, IntervalRecord, ProfileAnswer, timestamp

ROWS_PER_PART = 32
"""Most rows in one part of a load profile."""

PAYLOAD_LIMIT_BYTES = 16_000
"""Brokers of constrained networks cut here; nothing that a meter sends may be longer."""

_DEMAND_AT = 1 + COLUMNS.index(DEMAND_AT)
_OFFLINE = b'{"state":{"value":"offline"}}'


def client_id(group: str, serial: str) -> str:
    return f"{group}-{serial}"


def home(group: str, serial: str) -> str:
    return f"dt/{group}/{serial}"


def command_topic(group: str, serial: str) -> str:
    return f"cmd/{group}/{serial}"


def will(_serial: str) -> Said:
    """A will cannot know when it will be sent, so it carries no time."""
    return Said("st", _OFFLINE)


def online(_serial: str, device_time_s: int, boot: int) -> list[Said]:
    state = {"ts": timestamp(device_time_s), "value": "online", "boot": boot}
    return [Said("st", orjson.dumps({"state": state}))]


def reading(record: IntervalRecord, interval_length_s: int) -> Said:
    """The reading that closes an interval."""
    meter: dict[str, object] = {"ts": timestamp(record.interval_start_s + interval_length_s)}
    meter.update(zip(COLUMNS, values(record), strict=True))
    meter[DEMAND_AT] = timestamp(record.max_demand_at_s)
    return Said("ds", orjson.dumps({"meter": meter}))


def event(entry: Event) -> Said:
    said = {
        "ts": timestamp(entry.device_time_s),
        "seq": entry.sequence,
        "code": entry.code,
        "detail": entry.parsed_detail(),
    }
    return Said("ev", orjson.dumps({"event": said}))


def answer(said: CommandAnswer) -> Said:
    """To any command but one for the load profile."""
    body: dict[str, object] = {"command": said.command_id, "ts": timestamp(said.device_time_s)}
    body |= {"state": "completed"} if said.fault is None else {"state": "failed", "reason": said.fault}
    if said.quantities is not None:
        shows: dict[str, object] = dict(zip(REGISTERS, shown(said.quantities), strict=True))
        body["values"] = shows | {DEMAND_AT: timestamp(int(said.quantities["max_demand_at_s"]))}
    return Said("an", orjson.dumps({"answer": body}))


def _row(record: IntervalRecord, length_s: int) -> list[object]:
    row: list[object] = [timestamp(record.interval_start_s + length_s), *values(record)]
    row[_DEMAND_AT] = timestamp(record.max_demand_at_s)
    return row


def load_profile(answer: ProfileAnswer) -> Iterator[Said]:
    """The parts in order; one part without rows if nothing was recorded.

    Raises ValueError if a part would be longer than `PAYLOAD_LIMIT_BYTES`.
    """
    length_s = answer.interval_length_s
    parts = max(1, -(-len(answer.records) // ROWS_PER_PART))
    for part in range(parts):
        chunk = answer.records[part * ROWS_PER_PART : (part + 1) * ROWS_PER_PART]
        payload = orjson.dumps(
            {
                "profile": {
                    "command": answer.command_id,
                    "ts": timestamp(answer.device_time_s),
                    "from": timestamp(answer.from_s),
                    "to": timestamp(answer.to_s),
                    "part": part + 1,
                    "parts": parts,
                    "interval_s": length_s,
                    "columns": COLUMNS,
                    "rows": [_row(record, length_s) for record in chunk],
                }
            }
        )
        if len(payload) > PAYLOAD_LIMIT_BYTES:
            raise ValueError(f"a load-profile part of {len(payload)} bytes exceeds {PAYLOAD_LIMIT_BYTES}")
        yield Said("lp", payload)
