"""A head-end for Modbus meters as simple as can be: it reads every meter every second, and makes intervals of that.

It knows nothing of amilab but docs/wire-sdm630.md and docs/external-head-end.md.
"""

from __future__ import annotations

import csv
import json
import struct
import threading
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from pymodbus.client import ModbusTcpClient
from pymodbus.exceptions import ModbusException

COLUMNS = (
    "serial", "interval_start", "interval_length_s", "import_wh", "export_wh", "import_register_wh", "quality",
    "window_start", "window_end", "committed_at",
)  # fmt: skip
ROLL_OVER_WH = 1_000_000_000


@dataclass(frozen=True)
class Reading:
    at_s: float
    import_wh: int
    export_wh: int


class Master:
    """A Modbus master that reads meters, given as (host, port, unit) by name, again and again until `stop`."""

    def __init__(self, meters: dict[str, tuple[str, int, int]], *, every_s: float = 1.0) -> None:
        self.readings: dict[str, list[Reading]] = {name: [] for name in meters}
        self._meters = meters
        self._every_s = every_s
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, name="Modbus master")
        self._clients: dict[tuple[str, int], ModbusTcpClient] = {}

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._over.set()
        self._thread.join()
        for client in self._clients.values():
            client.close()

    def round_over(self) -> None:
        """Everybody was asked once more."""

    def _run(self) -> None:
        while not self._over.wait(self._every_s - time.time() % self._every_s):
            for name, place in self._meters.items():
                reading = self._read(*place)
                if reading is not None:
                    self.readings[name].append(reading)
            self.round_over()

    def _read(self, host: str, port: int, unit: int) -> Reading | None:
        client = self._clients.setdefault((host, port), ModbusTcpClient(host, port=port, timeout=5, retries=0))
        try:
            if not client.connected and not client.connect():
                return None
            response = client.read_input_registers(0x0048, count=4, device_id=unit)
        except (ModbusException, OSError):
            client.close()
            return None
        if response.isError():
            return None
        energies_kwh = struct.unpack(">2f", struct.pack(">4H", *response.registers))
        return Reading(time.time(), *(round(energy * 1000) for energy in energies_kwh))


class PlainPoller(Master):
    """Keeps a CSV file of the intervals of the meters in a run's shipment file."""

    def __init__(self, connect: Path, stored: Path) -> None:
        access = json.loads(connect.read_text())
        self._length_s: int = access["interval_length_s"]
        self._stored = stored
        with Path(access["shipment"]).open(newline="") as file:
            addresses = {row["serial"]: row["address"] for row in csv.DictReader(file)}
        super().__init__({serial: _place(address) for serial, address in addresses.items()})
        self.write([])

    def round_over(self) -> None:
        self.write([row for serial in self.readings for row in self.intervals(serial)])

    def write(self, rows: list[dict[str, object]]) -> None:
        fresh = self._stored.with_suffix(".new")
        with fresh.open("w", newline="") as file:
            writer = csv.DictWriter(file, COLUMNS)
            writer.writeheader()
            writer.writerows(rows)
        fresh.replace(self._stored)

    def near(self, serial: str) -> dict[int, Reading]:
        """The reading nearest to each boundary."""
        found: dict[int, Reading] = {}
        for reading in list(self.readings[serial]):
            boundary_s = round(reading.at_s / self._length_s) * self._length_s
            kept = found.get(boundary_s)
            if kept is None or abs(reading.at_s - boundary_s) < abs(kept.at_s - boundary_s):
                found[boundary_s] = reading
        return found

    def intervals(self, serial: str) -> list[dict[str, object]]:
        """As many rows as there are neighbouring boundaries that were read."""
        near = self.near(serial)
        return [
            {
                "serial": serial,
                "interval_start": _instant(boundary_s),
                "interval_length_s": self._length_s,
                "import_wh": (after.import_wh - before.import_wh) % ROLL_OVER_WH,
                "export_wh": (after.export_wh - before.export_wh) % ROLL_OVER_WH,
                "import_register_wh": after.import_wh,
                "quality": "actual",
                "window_start": _instant(before.at_s),
                "window_end": _instant(after.at_s),
                "committed_at": _instant(after.at_s),
            }
            for boundary_s, before in near.items()
            if (after := near.get(boundary_s + self._length_s)) is not None
        ]


def _instant(time_s: float) -> str:
    return datetime.fromtimestamp(time_s, UTC).isoformat()


def _place(address: str) -> tuple[str, int, int]:
    place, _, unit = address.partition("/")
    host, _, port = place.rpartition(":")
    return host, int(port), int(unit)
