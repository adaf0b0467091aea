"""A master on pyModbusTCP, in that library's own environment: host, port and unit of an SDM630, and of nobody → JSON.

It reads, sends many requests in one segment, writes the demand period, and lists the exceptions that it got.
"""

import json
import struct
import sys
from collections.abc import Sequence

from pyModbusTCP.client import ModbusClient


def number(words: Sequence[int]) -> float:
    return float(struct.unpack(">f", struct.pack(">2H", *words))[0])


def main() -> None:
    host, port, unit, nobody = sys.argv[1], *map(int, sys.argv[2:])
    client = ModbusClient(host=host, port=port, unit_id=unit, timeout=20.0, auto_open=True)

    def refused(pdu: bytes) -> int:
        assert client.custom_request(pdu) is None
        return int(client.last_except)

    alone = [number(client.read_input_registers(2 * each, 2)) for each in range(20)]
    # The library asks one after the other: its own frames, in one segment.
    frames = [client._add_mbap(struct.pack(">BHH", 4, 2 * (each % 20), 2)) for each in range(50)]
    client._send(b"".join(frames))
    pipelined = []
    for frame in frames:
        answer = client._recv_all(13)
        assert answer[:2] == frame[:2]
        pipelined.append(number(struct.unpack(">2H", answer[9:])))
    before = number(client.read_holding_registers(0x02, 2))
    assert client.write_multiple_registers(0x02, list(struct.unpack(">2H", struct.pack(">f", 8.0))))
    periods = [before, number(client.read_holding_registers(0x02, 2))]
    exceptions = {
        "quantity 0": refused(b"\x04\x00\x00\x00\x00"),
        "quantity 126": refused(b"\x04\x00\x00\x00\x7e"),
        "address": refused(b"\x04\x01\x7e\x00\x02"),
        "function": refused(b"\x01\x00\x00\x00\x01"),
        "value": refused(struct.pack(">BHHBf", 16, 0x02, 2, 4, 7.0)),
    }
    client.unit_id = nobody
    exceptions["nobody"] = refused(b"\x04\x00\x00\x00\x02")
    client.close()
    print(json.dumps({"alone": alone, "pipelined": pipelined, "periods": periods, "refused": exceptions}))


main()
