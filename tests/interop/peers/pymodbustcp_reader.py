"""Reads values with pyModbusTCP, in that library's own environment: host, port, unit, and as JSON what to read.

Each is [name, function, address, type, scale, word order, byte order]; stdout has the values as JSON, None where the
read failed.
"""

import json
import sys

from pyModbusTCP import utils
from pyModbusTCP.client import ModbusClient


def number(words: list[int], kind: str, word_order: str, byte_order: str) -> float:
    if byte_order == "little":
        words = [word >> 8 | (word & 0xFF) << 8 for word in words]
    if kind == "float32":
        return float(utils.decode_ieee(utils.word_list_to_long(words, big_endian=word_order == "big")[0]))
    bits = int(kind.removeprefix("u").removeprefix("int"))
    if bits == 16:
        value = words[0]
    else:
        value = utils.word_list_to_long(words, big_endian=word_order == "big", long_long=bits == 64)[0]
    return float(value if kind.startswith("u") else utils.get_2comp(value, bits))


def main() -> None:
    host, port, unit, asked = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), json.loads(sys.argv[4])
    client = ModbusClient(host=host, port=port, unit_id=unit, timeout=5.0, auto_open=True)
    values = {}
    for name, function, address, kind, scale, word_order, byte_order in asked:
        read = client.read_holding_registers if function == 3 else client.read_input_registers
        words = read(address, int(kind.lstrip("uintfloa")) // 16)
        values[name] = None if words is None else number(words, kind, word_order, byte_order) * scale
    client.close()
    print(json.dumps(values))


main()
