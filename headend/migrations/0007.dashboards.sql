-- What whoever looks at the network needs beside readings: where things are, what each meter owes, what transformers
-- deliver, and what load tests measured.

-- The meter's capture period and how often it reports, as its driver knows them; written with the registration.
ALTER TABLE end_device ADD COLUMN interval_length_s integer;
ALTER TABLE end_device ADD COLUMN report_every_s integer;

-- The network model (docs/network-model.md), as the head-end read it at its last start. Positions are WGS 84 degrees,
-- null where the model has none. rated_kva: of transformers.
CREATE TABLE network_device (
    id text PRIMARY KEY,
    kind text NOT NULL,
    parent text,
    longitude double precision,
    latitude double precision,
    rated_kva double precision
);

-- transformer: the nearest one above; null where a source feeds it directly. nominal_voltage_v: between line and neutral.
CREATE TABLE network_usage_point (
    usage_point text PRIMARY KEY,
    device text NOT NULL,
    transformer text,
    longitude double precision,
    latitude double precision,
    nominal_voltage_v double precision
);
CREATE INDEX network_usage_point_transformer ON network_usage_point (transformer);

-- Written by the utility's SCADA historian, not by the head-end: what each transformer measures at its low-voltage side.
-- energy_wh is net, negative where more was fed back than taken; loading_percent is the highest of the interval.
CREATE TABLE transformer_measurement (
    transformer text NOT NULL,
    interval_start timestamptz NOT NULL,
    interval_length_s integer NOT NULL,
    energy_wh double precision NOT NULL,
    loading_percent double precision NOT NULL,
    PRIMARY KEY (transformer, interval_start)
);
CREATE INDEX transformer_measurement_start ON transformer_measurement (interval_start);

-- Written by load tests. at: the wall clock. source: who measured it.
CREATE TABLE load_test_sample (
    run text NOT NULL,
    at timestamptz NOT NULL,
    source text NOT NULL CHECK (source IN ('client', 'head-end', 'database', 'generator')),
    metric text NOT NULL,
    value double precision NOT NULL
);
CREATE INDEX load_test_sample_run ON load_test_sample (run, at);

-- What a reading says of the network and of its own way, not of what was used: for those who are to see no household's
-- figures. A view, since TimescaleDB takes no rights on single columns of a hypertable that it may compress.
CREATE VIEW network_reading AS
SELECT meter_id, interval_length_s, interval_start, device_time, received_at, committed_at, ingested_at,
    voltage_l1_v, voltage_l2_v, voltage_l3_v, status, revision, quality, origin
FROM interval_reading;

-- What the meters below each transformer recorded; no household's own figures. Intervals of one length are one row.
CREATE VIEW metered_energy AS
SELECT
    u.transformer,
    r.interval_start,
    r.interval_length_s,
    count(*) FILTER (WHERE r.revision = 0) AS readings,
    sum(coalesce(r.import_correction_wh, r.import_wh)) - sum(coalesce(r.export_correction_wh, r.export_wh, 0))
        AS energy_wh
FROM interval_reading r
JOIN end_device d ON d.id = r.meter_id
JOIN network_usage_point u ON u.usage_point = d.usage_point
WHERE u.transformer IS NOT NULL
GROUP BY u.transformer, r.interval_start, r.interval_length_s;

-- How many intervals that begin in [begins, ends) are due at `at`, by vendor and instant. A meter owes each interval from
-- its registration on; one is late after its end, the reporting interval and five minutes, and due from then on.
CREATE FUNCTION due_reading(begins timestamptz, ends timestamptz, at timestamptz)
RETURNS TABLE (vendor_profile text, interval_start timestamptz, interval_length_s integer, deadline timestamptz,
    meters bigint)
LANGUAGE sql STABLE AS $$
    SELECT k.vendor_profile, to_timestamp(s.start_s), k.length_s, to_timestamp(s.start_s + k.late_after_s), k.meters
    FROM (
        SELECT d.vendor_profile, coalesce(d.interval_length_s, 900) AS length_s,
            coalesce(d.interval_length_s, 900) + coalesce(d.report_every_s, 900) + 300 AS late_after_s,
            extract(epoch FROM d.registered_at) AS from_s, count(*) AS meters
        FROM end_device d
        GROUP BY 1, 2, 3, 4
    ) k
    CROSS JOIN LATERAL generate_series(
        greatest(
            ceil(extract(epoch FROM begins) / k.length_s) * k.length_s,
            floor(k.from_s / k.length_s) * k.length_s
        )::bigint,
        least(extract(epoch FROM ends) - 1, extract(epoch FROM at) - k.late_after_s)::bigint,
        k.length_s
    ) AS s (start_s)
    WHERE s.start_s + k.late_after_s <= extract(epoch FROM at)
$$;
