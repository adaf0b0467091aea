"""How many messages of gap recovery each collector and cell carries. Pure."""

from collections.abc import Callable, Sequence

from headend.buckets import Buckets
from headend.pace import ROWS_PER_PART, Pace


class Allowances:
    """`carriers`: by meter, whose allowance it takes from, which its pace says."""

    def __init__(self, paces: Sequence[Pace], carriers: Sequence[str]) -> None:
        self._paces = paces
        self._carriers = carriers
        self._buckets = Buckets()

    def take(self, meter: int, intervals: int, now_s: float) -> bool:
        """Take a request for so many intervals and the parts of its answer; False, and nothing is taken, if they are
        not left.
        """
        allowance = self._paces[meter].allowance
        if allowance is None:
            return True
        return self._buckets.take(self._carriers[meter], allowance, now_s, 1 + -(-intervals // ROWS_PER_PART))

    def in_turn(self, meters: Sequence[int], since_s: Callable[[int], float]) -> list[int]:
        """The same meters; of those who have an allowance, whoever has waited longest first."""
        return sorted(meters, key=lambda meter: 0.0 if self._paces[meter].allowance is None else since_s(meter))
