"""MQTT 3.1.1 packets in a byte buffer: where they end, and what a PUBLISH holds. Pure; nothing is consumed.

Only what the hot path needs: received PUBLISH packets of QoS 0 and 1 are nearly all that a head-end reads, and paho
takes twenty times as long for one. Everything else is left to paho.
"""

from typing import NamedTuple

_PUBLISH = 0x30
_QOS_MASK, _QOS_1, _QOS_2 = 0x06, 0x02, 0x04


class MalformedFrame(ValueError):  # noqa: N818 - the specification's word
    """The peer does not speak MQTT: the connection must be closed (MQTT 3.1.1, 4.8)."""


class Publish(NamedTuple):
    """A received message; `packet_id` is 0 at QoS 0."""

    topic: str
    payload: bytes
    packet_id: int


def frame_extent(data: bytes, position: int) -> tuple[int, int] | None:
    """(start of the body, end) of the packet at `position`; None if its fixed header is not complete yet.

    The end may lie beyond the buffer. Raises MalformedFrame for a length of more than four bytes (MQTT 3.1.1, 2.2.3).
    """
    length = shift = 0
    for place in range(position + 1, min(position + 5, len(data))):
        digit = data[place]
        length |= (digit & 0x7F) << shift
        if digit < 0x80:
            return place + 1, place + 1 + length
        shift += 7
    if len(data) - position < 5:
        return None
    raise MalformedFrame("a remaining length of more than four bytes")


def is_plain_publish(first: int) -> bool:
    """Whether the first byte of a packet is that of a PUBLISH at QoS 0 or 1."""
    return first & 0xF0 == _PUBLISH and not first & _QOS_2


def parse_publish(data: bytes, first: int, start: int, end: int) -> Publish:
    """The message in `data[start:end]`, the body of a PUBLISH whose first byte is `first` (MQTT 3.1.1, 3.3).

    A topic that is not UTF-8 comes with replacement characters. Raises MalformedFrame.
    """
    topic_end = start + 2 + (data[start] << 8 | data[start + 1]) if end - start >= 2 else end + 1
    if first & _QOS_MASK == _QOS_1:
        if topic_end + 2 > end:
            raise MalformedFrame("a PUBLISH that is shorter than its topic")
        topic = data[start + 2 : topic_end].decode("utf-8", "replace")
        return Publish(topic, data[topic_end + 2 : end], data[topic_end] << 8 | data[topic_end + 1])
    if topic_end > end:
        raise MalformedFrame("a PUBLISH that is shorter than its topic")
    return Publish(data[start + 2 : topic_end].decode("utf-8", "replace"), data[topic_end:end], 0)
