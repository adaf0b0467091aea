"""A meter on the serial interface of smartmeter-datacollector 2.0, and the program itself, unchanged.

The program's own `main` reads a pseudo-terminal as if it were the meter's optical head. JSON lines on stdin say what
the meter pushes, {"at": epoch s, "registers": {"1.8.0": Wh, …}}: a DLMS data notification in one HDLC frame, as the
program's L+G E450 sends it. This process is the peer's environment; its libraries are GPL, and stay here.
"""

from __future__ import annotations

import json
import logging
import os
import pty
import sys
import threading
import tty
from datetime import UTC, datetime
from pathlib import Path

CLOCK = bytes((0, 0, 1, 0, 0, 255))


def crc16_x25(data: bytes) -> bytes:
    crc = 0xFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ 0x8408 if crc & 1 else crc >> 1
    return (crc ^ 0xFFFF).to_bytes(2, "little")


def cosem_time(at_s: float) -> bytes:
    at = datetime.fromtimestamp(at_s, UTC)
    date = at.year.to_bytes(2, "big") + bytes((at.month, at.day, at.isoweekday()))
    return date + bytes((at.hour, at.minute, at.second, 0)) + b"\x00\x00\x00"


def octets(value: bytes) -> bytes:
    return bytes((0x09, len(value))) + value


def pushed(at_s: float, registers: dict[str, int]) -> bytes:
    """A structure of OBIS codes and values in turn, the clock first."""
    items = [octets(CLOCK), octets(cosem_time(at_s))]
    for code, value in registers.items():
        items += [octets(bytes((1, 0, *map(int, code.split(".")), 255))), b"\x06" + value.to_bytes(4, "big")]
    body = b"\x02" + bytes((len(items),)) + b"".join(items)
    return b"\x0f\x00\x00\x00\x01" + b"\x0c" + cosem_time(at_s) + body


def hdlc(information: bytes) -> bytes:
    """One frame of type 3 from server 1 to client 1: an UI frame."""
    payload = b"\xe6\xe7\x00" + information
    length = 2 + 1 + 2 + 1 + 2 + len(payload) + 2  # format, destination, source, control, header check, frame check
    head = (0xA000 | length).to_bytes(2, "big") + b"\x03" + b"\x02\x03" + b"\x13"
    head += crc16_x25(head)
    return b"\x7e" + head + payload + crc16_x25(head + payload) + b"\x7e"


class Connected(logging.Handler):
    """Tells when the program has its broker: it opened its port before, and forgets what came earlier."""

    def emit(self, record: logging.LogRecord) -> None:
        if record.getMessage().startswith("Connected to MQTT broker"):
            print(json.dumps({"ready": True}), flush=True)


def main() -> None:
    directory, port, group, meter_id = Path(sys.argv[1]), sys.argv[2], sys.argv[3], sys.argv[4]
    ours, theirs = pty.openpty()
    tty.setraw(theirs)
    # The program names a source whose telegrams carry no identification by the port that it is on.
    link = directory / meter_id
    link.symlink_to(os.ttyname(theirs))
    os.chdir(directory)
    config = directory / "datacollector.ini"
    config.write_text(
        f"[reader0]\ntype = lge450\nport = {meter_id}\n"
        f"[sink0]\ntype = mqttrldsp\nhost = 127.0.0.1\nport = {port}\ntopic_group = {group}\n"
        "[logging]\ndefault = INFO\n"
    )

    def push() -> None:
        for line in sys.stdin:
            told = json.loads(line)
            os.write(ours, hdlc(pushed(told["at"], told["registers"])))
        os._exit(0)

    threading.Thread(target=push, daemon=True).start()
    sys.argv = ["smartmeter-datacollector", "-c", str(config)]
    from smartmeter_datacollector.app import main as collect

    logging.getLogger("sink").addHandler(Connected())
    collect()


main()
