"""What polls come to, as rows of a batch: registers and intervals, who can be reached, what could not be used."""

import uuid
from collections.abc import Mapping, Sequence

from headend.drivers import Registers
from headend.links.modbus.gateway import Failure, Refusal, Unusable
from headend.log import logger
from headend.metrics import Metrics
from headend.reads.registers import RegisterReads
from headend.registry import EndDevice
from headend.store.batch import Batch
from headend.store.register_records import BoundaryReading, PollFailureRow


class PollOutcomes:
    """Of the polled `devices`. `online`: who could be reached, by meter id, where that is known."""

    def __init__(self, devices: Sequence[EndDevice], metrics: Metrics, online: dict[int, bool]) -> None:
        self._metrics = metrics
        self._online = online
        self._reads = RegisterReads(devices)
        #: How the last poll of a meter failed, where it did.
        self._failing: dict[int, str] = {}

    def restore(
        self,
        readings: Mapping[int, tuple[BoundaryReading, Sequence[BoundaryReading]]],
        failing: Mapping[int, str],
    ) -> None:
        """Go on where an earlier life ended, with its last readings and failures by meter id."""
        self._reads.restore(readings)
        self._failing = dict(failing)

    def answered(self, batch: Batch, device: EndDevice, boundary_s: int, registers: Registers, now_s: float) -> None:
        """A meter showed its registers at a boundary."""
        self._failing.pop(device.id, None)
        self.communication(batch, device, now_s, online=True)
        doubt = self._reads.take(batch, device, BoundaryReading(boundary_s, now_s, registers), now_s)
        if doubt is not None:
            self._bury(batch, device, b"", doubt.reason, doubt.detail, now_s)

    def failed(self, batch: Batch, failure: Failure, boundary_s: int, now_s: float) -> None:
        """A meter has not shown its registers at a boundary, and is not asked again."""
        device, outcome = failure.device, outcome_of(failure)
        code = failure.code if isinstance(failure, Refusal) else None
        batch.poll_failures.append(PollFailureRow(device.id, boundary_s, outcome, code, now_s))
        if self._failing.get(device.id) == outcome:
            return
        # Once for as long as it lasts: whoever is asked each quarter-hour says the same each quarter-hour.
        self._failing[device.id] = outcome
        if isinstance(failure, Unusable):
            self._bury(batch, device, failure.raw, outcome, failure.fault.detail, now_s)
        elif isinstance(failure, Refusal) and failure.is_lasting:
            named = outcome.replace("_", " ")
            logger().warning("a meter refuses to be read", serial=device.serial, exception=named)
            detail = f"exception {failure.code} ({named}): is it a meter of profile {device.driver.vendor_profile}?"
            self._bury(batch, device, failure.raw, outcome, detail, now_s)

    def absent(self, batch: Batch, *, devices: Sequence[EndDevice], now_s: float) -> None:
        """Nobody was heard of these at a boundary that is given up."""
        for device in devices:
            self.communication(batch, device, now_s, online=False)

    def communication(self, batch: Batch, device: EndDevice, now_s: float, *, online: bool) -> None:
        """Whether a meter can be reached: rows where that has changed."""
        if self._online.get(device.id) != online:
            self._online[device.id] = online
            batch.communications[device.id, now_s] = online
            batch.states[device.id] = (device.id, online, None, None, now_s)

    def _bury(self, batch: Batch, device: EndDevice, raw: bytes, reason: str, detail: str, now_s: float) -> None:
        topic = f"modbus/{device.address}/{device.serial}"
        batch.dead_letters.append((uuid.uuid4(), now_s, topic, raw, reason, f"{device.serial}: {detail}"))
        self._metrics.dead_letters.labels(reason).inc()


def outcome_of(failure: Failure) -> str:
    """In one word, as poll_failure has it."""
    return failure.fault.reason if isinstance(failure, Unusable) else failure.outcome
