"""The bench of ingest runs and gives figures; how large these are is not tested."""

from __future__ import annotations

from bench import ingest


async def test_the_head_end_is_measured_beside_its_bounds() -> None:
    said: list[str] = []
    result = await ingest.measure(1, 200, said.append)
    assert len(said) == 2, "a round to warm up, and one that counts"
    rates, ratios = result["rows_per_s"], result["ratio_to"]
    assert isinstance(rates, dict)
    assert isinstance(ratios, dict)
    assert {"head_end", "copy", "subscriber", "link"} == set(rates)
    assert all(rate > 0 for rate in (*rates.values(), *ratios.values()))
    for name in ("head-end", "COPY + ON CONFLICT", "bare subscriber"):
        assert name in ingest.table(result)
