"""The reading of MQTT packets, against paho's own encoder and in pieces of any size."""

import socket

import pytest
from hypothesis import given
from hypothesis import strategies as st
from paho.mqtt import client as paho
from paho.mqtt.enums import CallbackAPIVersion

from headend.links.frames import MalformedFrame, frame_extent, is_plain_publish, parse_publish


def length_bytes(length: int) -> bytes:
    digits = bytearray()
    while True:
        length, digit = divmod(length, 128)
        digits.append(digit | (128 if length else 0))
        if not length:
            return bytes(digits)


def publish(topic: bytes, payload: bytes, packet_id: int, qos: int) -> bytes:
    """MQTT 3.1.1, 3.3."""
    body = len(topic).to_bytes(2, "big") + topic + (packet_id.to_bytes(2, "big") if qos else b"") + payload
    return bytes([0x30 | qos << 1]) + length_bytes(len(body)) + body


messages = st.tuples(st.text(max_size=40), st.binary(max_size=300), st.integers(1, 65535), st.sampled_from([0, 1]))


@given(st.lists(messages, max_size=5), st.binary(max_size=3))
def test_packets_in_a_row_come_out_as_they_went_in(sent: list[tuple[str, bytes, int, int]], before: bytes) -> None:
    data = before + b"".join(publish(topic.encode(), payload, mid, qos) for topic, payload, mid, qos in sent)
    position = len(before)
    received = []
    while position < len(data):
        extent = frame_extent(data, position)
        assert extent is not None
        assert is_plain_publish(data[position])
        received.append(parse_publish(data, data[position], *extent))
        position = extent[1]
    assert received == [(topic, payload, mid if qos else 0) for topic, payload, mid, qos in sent]


@given(st.integers(0, 268_435_455))
def test_a_length_is_known_as_soon_as_its_last_byte_is_there(length: int) -> None:
    header = b"\x30" + length_bytes(length)
    for size in range(len(header)):
        assert frame_extent(header[:size], 0) is None
    assert frame_extent(header, 0) == (len(header), len(header) + length)


def test_a_length_of_five_bytes_is_malformed() -> None:
    with pytest.raises(MalformedFrame):
        frame_extent(b"\x30\xff\xff\xff\xff\x01", 0)


@given(st.binary(max_size=40), st.sampled_from([0x30, 0x32, 0x3B]))
def test_any_body_is_a_message_or_malformed(body: bytes, first: int) -> None:
    try:
        message = parse_publish(body, first, 0, len(body))
    except MalformedFrame:
        return
    overhead = 2 + int.from_bytes(body[:2], "big") + (2 if first & 6 == 2 else 0)
    assert len(message.payload) == len(body) - overhead


def test_other_packets_and_qos_2_are_not_for_us() -> None:
    for first in (0x20, 0x40, 0x90, 0xD0, 0x34, 0x3D):
        assert not is_plain_publish(first)
    for first in (0x30, 0x31, 0x32, 0x38, 0x3A, 0x3B):
        assert is_plain_publish(first)


def test_what_paho_encodes() -> None:
    ours, theirs = socket.socketpair()
    client = _Connected(CallbackAPIVersion.VERSION2, client_id="c", protocol=paho.MQTTv311)
    client.end = theirs
    client.connect("127.0.0.1", 1)
    ours.recv(1000)
    client.loop_write()
    info = client.publish("dt/g/Zähler/ds", b"payload" * 30, qos=1)
    data = ours.recv(1000)
    extent = frame_extent(data, 0)
    assert extent is not None
    assert parse_publish(data, data[0], *extent) == ("dt/g/Zähler/ds", b"payload" * 30, info.mid)
    assert extent[1] == len(data)
    ours.close()
    theirs.close()


class _Connected(paho.Client):
    end: socket.socket

    def _create_socket(self) -> "paho.SocketLike":
        return self.end
