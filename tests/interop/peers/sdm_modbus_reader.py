"""Reads an SDM630 with sdm_modbus, in that library's own environment: host, port, unit → JSON on stdout."""

import json
import sys

import sdm_modbus


def main() -> None:
    host, port, unit = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    meter = sdm_modbus.SDM630(host=host, port=port, unit=unit, timeout=5)
    values = meter.read_all(sdm_modbus.registerType.INPUT)
    print(json.dumps(values))


main()
