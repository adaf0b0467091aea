"""What every driver asks of decoded values before the head-end believes them. Raises only DecodeError."""

from headend.drivers.records import DecodeError

# No register of a house comes near; beyond it the sums of a report would overflow.
MAX_COUNTER = 10**15
MAX_STATUS = 2**31 - 1
MAX_VOLTAGE_V = 1e6
MAX_CURRENT_A = 1e6
MAX_POWER_W = 1e9
MAX_SEQUENCE = 2**63 - 1
MAX_TEXT = 128
MAX_PARTS = 10_000
#: The largest part of an answer that the wire documents allow.
MAX_ROWS = 48


def integer(value: object, name: str, *, minimum: int = 0, maximum: int) -> int:
    """An integer of the range; a Boolean is none."""
    if type(value) is not int or not minimum <= value <= maximum:
        raise DecodeError("bad_value", f"{name:.60} is not an integer from {minimum} to {maximum}")
    return value


def number(value: object, name: str, *, minimum: float = -1e300, maximum: float = 1e300) -> float:
    """A number of the range, not NaN."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not minimum <= value <= maximum:
        raise DecodeError("bad_value", f"{name:.60} is not a number from {minimum:g} to {maximum:g}")
    return float(value)


def text(value: object, name: str) -> str:
    """A text of one line that a database takes and a terminal may be told, not empty."""
    if type(value) is not str or not 1 <= len(value) <= MAX_TEXT or not value.isprintable():
        raise DecodeError("bad_value", f"{name:.60} is not a text of 1 to {MAX_TEXT} printable characters")
    return value


def covered_range(from_s: int, to_s: int, length_s: int) -> tuple[int, int]:
    """The range of an answer, which is one of whole intervals."""
    if from_s > to_s or from_s % length_s or to_s % length_s:
        raise DecodeError("bad_value", "from and to are not a range of whole intervals")
    return from_s, to_s
