"""Interval records made up by hypothesis, with what goes over a wire as its codes have it."""

from __future__ import annotations

from hypothesis import strategies as st

from meters.device.records import IntervalRecord

wh = st.integers(0, 999_999_999)


@st.composite
def interval_records(draw: st.DrawFn, start_s: int = 0) -> IntervalRecord:
    energies = draw(st.tuples(*[wh] * 10))
    voltages_dv = draw(st.tuples(*[st.integers(0, 3000)] * 3))
    power_w, status = draw(st.integers(-100_000, 100_000)), draw(st.integers(0, 15))
    return IntervalRecord._make((start_s, 0, *energies, power_w, *voltages_dv, status, 0.0, 0.0, 0))


LARGEST = IntervalRecord._make((0, 0, *[999_999_999] * 10, -999_999_999, *[9999] * 3, 15, 0.0, 0.0, 0))


def coded(record: IntervalRecord) -> dict[str, float]:
    """By OBIS code C.D.E: energies in Wh, powers of either direction in W, voltages in V, the status."""
    codes = ["1.8.0", "2.8.0", "1.29.0", "2.29.0", "21.29.0", "41.29.0", "61.29.0", "22.29.0", "42.29.0", "62.29.0"]
    values: dict[str, float] = dict(zip(codes, record[2:12], strict=True))
    power_w = record.active_power_w
    values |= {"1.7.0": power_w if power_w > 0 else 0, "2.7.0": -power_w if power_w < 0 else 0}
    values |= {f"{code}.7.0": record[13 + phase] / 10 for phase, code in enumerate((32, 52, 72))}
    return values | {"96.10.1": record.status}
