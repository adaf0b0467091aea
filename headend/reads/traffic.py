"""What each carrier brings, counted where it arrives and written every few minutes: a row for a batch would be dear."""

from headend.store.batch import Batch

SLOT_S = 300
_HOUR_S = 3600


class Traffic:
    """Messages and bytes by hour and carrier. A process that is killed loses what it counted since the last slot."""

    def __init__(self) -> None:
        self._slot: int | None = None
        self._counts: dict[str, tuple[int, int]] = {}

    def count(self, batch: Batch, carrier: str, size_bytes: int, now_s: float) -> None:
        """One message. The slot before, once it is over, goes to `batch`."""
        slot = int(now_s // SLOT_S)
        if slot != self._slot:
            self.flush(batch)
            self._slot = slot
        messages, total_bytes = self._counts.get(carrier, (0, 0))
        self._counts[carrier] = messages + 1, total_bytes + size_bytes

    def flush(self, batch: Batch) -> None:
        """All that was counted goes to `batch`."""
        if self._slot is None:
            return
        hour = self._slot * SLOT_S // _HOUR_S
        for carrier, (messages, total_bytes) in self._counts.items():
            known = batch.traffic.get((carrier, hour), (0, 0))
            batch.traffic[carrier, hour] = known[0] + messages, known[1] + total_bytes
        self._counts.clear()
