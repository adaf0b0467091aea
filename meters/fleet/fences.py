"""The lab's fences, which the lab's own devices hear in lockstep and of which no wire knows (docs/broker.md).

A fence comes behind the commands to a device, by a topic that differs from theirs in its first level alone.
"""

from __future__ import annotations

from collections.abc import Iterable

Filter = tuple[str, int]
"""With its QoS."""
_LAB = "lab/"


def heard_by(commands: Iterable[Filter]) -> tuple[Filter, ...]:
    """Filters of commands, so that fences are heard by the same ones: brokers keep the order within one filter only."""
    return tuple((f"+/{topic.partition('/')[2]}", qos) for topic, qos in commands)


def is_fence(topic: str) -> bool:
    return topic.startswith(_LAB)
