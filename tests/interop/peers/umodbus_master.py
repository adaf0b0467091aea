"""A master on uModbus, in that library's own environment: host, port and unit of an SDM630, and of nobody → JSON.

It reads, sends many requests in one segment, writes the demand period, and lists the exceptions that it got.
"""

import json
import socket
import struct
import sys
from collections.abc import Sequence

from umodbus.client import tcp
from umodbus.exceptions import ModbusError


def number(words: Sequence[int]) -> float:
    return float(struct.unpack(">f", struct.pack(">2H", *words))[0])


def main() -> None:
    host, port, unit, nobody = sys.argv[1], *map(int, sys.argv[2:])
    connection = socket.create_connection((host, port), timeout=20)

    def ask(adu: bytes) -> Sequence[int]:
        words: Sequence[int] = tcp.send_message(adu, connection)
        return words

    def refused(adu: bytes) -> int:
        try:
            ask(adu)
        except ModbusError as error:
            return int(error.error_code)
        return 0

    def of_quantity(quantity: int) -> bytes:
        # The library lets nobody ask for so many.
        adu: bytes = tcp.read_input_registers(unit, 0, 2)
        return adu[:-2] + struct.pack(">H", quantity)

    def written(minutes: float) -> bytes:
        adu: bytes = tcp.write_multiple_registers(unit, 0x02, struct.unpack(">2H", struct.pack(">f", minutes)))
        return adu

    asked = [tcp.read_input_registers(unit, 2 * (each % 20), 2) for each in range(50)]
    connection.sendall(b"".join(asked))
    pipelined = []
    for adu in asked:
        data = tcp.recv_exactly(connection.recv, 9)
        tcp.raise_for_exception_adu(data)
        pipelined.append(number(tcp.parse_response_adu(data + tcp.recv_exactly(connection.recv, 4), adu)))
    alone = [number(ask(tcp.read_input_registers(unit, 2 * each, 2))) for each in range(20)]
    before = number(ask(tcp.read_holding_registers(unit, 0x02, 2)))
    ask(written(8.0))
    found = {
        "alone": alone,
        "pipelined": pipelined,
        "periods": [before, number(ask(tcp.read_holding_registers(unit, 0x02, 2)))],
        "refused": {
            "quantity 0": refused(of_quantity(0)),
            "quantity 126": refused(of_quantity(126)),
            "address": refused(tcp.read_input_registers(unit, 0x17E, 2)),
            "function": refused(tcp.read_coils(unit, 0, 1)),
            "value": refused(written(7.0)),
            "nobody": refused(tcp.read_input_registers(nobody, 0, 2)),
        },
    }
    connection.close()
    print(json.dumps(found))


main()
