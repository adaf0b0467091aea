"""Late and revised readings: the stored values and the aggregates are right, compressed or not, on every edition."""

from collections import defaultdict

from headend.store.writer import Written
from tests.timescale.schema import LENGTH_S, Schema, Value

START_S = 1_767_225_600  # 2026-01-01 00:00 UTC
DAY_S = 86_400
SLOTS = range(0, 96, 8)
WIDTHS_S = {"reading_hourly": 3600, "reading_daily": DAY_S}


def at(day: int, slot: int) -> int:
    return START_S + day * DAY_S + slot * LENGTH_S


def first_readings() -> list[Value]:
    """Three days of the meters 1 and 2; meter 3 is not heard before the third day."""
    return [
        Value(meter, at(day, slot), 100 * meter + slot, day)
        for day in range(3)
        for slot in SLOTS
        for meter in ((1, 2, 3) if day == 2 else (1, 2))
    ]


class Model:
    """All different values of each interval, in the order of arrival."""

    def __init__(self) -> None:
        self.intervals: dict[tuple[int, int], list[Value]] = defaultdict(list)

    def write(self, schema: Schema, *values: Value) -> Written:
        for value in values:
            known = self.intervals[value.meter, value.start_s]
            if value not in known:
                known.append(value)
        return schema.write(*values)

    def stored(self) -> list[tuple[object, ...]]:
        return sorted(
            (f"M{meter}", start_s, known[-1].import_wh, known[-1].export_wh, len(known) - 1)
            for (meter, start_s), known in self.intervals.items()
        )

    def buckets(self, width_s: int) -> list[tuple[int, ...]]:
        sums: dict[tuple[int, int], list[int]] = defaultdict(lambda: [0, 0, 0, 0])
        for (meter, start_s), known in self.intervals.items():
            latest = known[-1]
            row = sums[meter, start_s - start_s % width_s]
            for column, more in enumerate((1, len(known) - 1, latest.import_wh, latest.export_wh or 0)):
                row[column] += more
        return sorted((*key, *row) for key, row in sums.items())


def stored(schema: Schema) -> list[tuple[object, ...]]:
    return schema.rows(
        "SELECT serial, extract(epoch FROM interval_start)::int8, import_wh, export_wh, revision::int"
        " FROM stored_reading ORDER BY serial, interval_start"
    )


def buckets(schema: Schema, name: str) -> list[tuple[int, ...]]:
    found = schema.rows(
        "SELECT meter_id, extract(epoch FROM bucket)::int8, intervals, revisions, import_wh, export_wh"
        f" FROM {name} ORDER BY meter_id, bucket"
    )
    return [tuple(int(value) for value in row) for row in found]


def assert_right(schema: Schema, model: Model) -> None:
    assert stored(schema) == model.stored()
    for name, width_s in WIDTHS_S.items():
        assert buckets(schema, name) == model.buckets(width_s), name


def compressed_chunks(schema: Schema) -> int:
    return len(
        schema.rows(
            "SELECT FROM timescaledb_information.chunks WHERE hypertable_schema = current_schema"
            " AND hypertable_name = 'interval_reading' AND is_compressed"
        )
    )


def test_late_readings_duplicates_and_revisions_in_compressed_days(schema: Schema) -> None:
    model = Model()
    first = first_readings()
    assert model.write(schema, *first) == Written(len(first), 0, 0)
    schema.refresh()
    assert schema.compress() == (3 if schema.compresses else 0)
    assert_right(schema, model)

    late = [Value(3, at(day, slot), 300 + slot) for day in (0, 1) for slot in SLOTS]
    again = [value for value in first if value.meter == 1]
    revised = [Value(2, at(0, slot), 900 + slot, None) for slot in SLOTS]
    twice = [Value(2, at(1, 0), 5), Value(2, at(1, 0), 6), Value(2, at(1, 0), 5)]
    new_and_at_once_revised = [Value(4, at(1, 0), 50, 7), Value(4, at(1, 0), 40, 8)]
    written = model.write(schema, *late, *again, *revised, *twice, *new_and_at_once_revised)
    assert written == Written(len(late) + 1, len(revised) + 2 + 1, len(again) + 1)
    assert model.write(schema, *late, *revised) == Written(0, 0, len(late) + len(revised)), "sent again"
    assert model.write(schema, *(Value(2, at(0, slot), 1, 2) for slot in SLOTS)) == Written(0, len(SLOTS), 0)

    if schema.compresses:
        assert compressed_chunks(schema) == 3, "they went beside what is compressed"
    schema.refresh()
    assert_right(schema, model)
    if schema.compresses:
        schema.run_policy("policy_compression")
        schema.refresh()
        assert compressed_chunks(schema) == 3
        assert_right(schema, model)


def test_aggregates_know_new_readings_at_once_and_late_ones_after_a_refresh(schema: Schema) -> None:
    model = Model()
    model.write(schema, *first_readings())
    assert_right(schema, model)
    schema.refresh()
    model.write(schema, Value(1, at(9, 0), 10), Value(1, at(9, 1), 11), Value(1, at(9, 1), 12))
    assert_right(schema, model)
    before = buckets(schema, "reading_daily")
    # Years late: a refresh works off whatever was written, however old it is.
    model.write(schema, Value(1, at(-800, 3), 77), Value(2, at(2, 0), 1), Value(1, at(9, 0), 3))
    schema.refresh()
    assert_right(schema, model)
    assert buckets(schema, "reading_daily") != before


def test_what_is_materialised_is_right_without_its_live_part(schema: Schema) -> None:
    model = Model()
    model.write(schema, *first_readings())
    schema.refresh()
    schema.compress()
    model.write(schema, Value(2, at(1, 0), 1, None), Value(3, at(0, 0), 2))
    schema.refresh()
    if schema.compresses:
        for name in WIDTHS_S:
            schema.run(f"ALTER MATERIALIZED VIEW {name} SET (timescaledb.materialized_only = true)")
    assert_right(schema, model)


def test_a_batch_with_duplicates_and_revisions_looks_at_its_own_days_alone(schema: Schema) -> None:
    """At-least-once delivery repeats messages: that must not cost a look at every chunk."""
    if schema.server.edition != "apache":
        return  # plain PostgreSQL has no chunks, PGlite no statistics of them

    def scans() -> dict[str, int]:
        found = schema.rows(
            "SELECT range_start::date::text, seq_scan + idx_scan FROM timescaledb_information.chunks"
            " JOIN pg_stat_all_tables ON (schemaname, relname) = (chunk_schema, chunk_name)"
            " WHERE hypertable_schema = current_schema AND hypertable_name = 'interval_reading'"
        )
        return dict(found)

    schema.write(*(Value(meter, at(day, slot), 1) for day in range(6) for slot in range(96) for meter in range(1, 5)))
    schema.run("ANALYZE interval_reading")
    before = scans()
    assert schema.write(Value(1, at(3, 0), 1), Value(2, at(3, 1), 2)) == Written(0, 1, 1)
    assert {day for day, count in scans().items() if count != before[day]} == {"2026-01-04"}
