-- What a network operator asks of the new quantities: voltage events, reactive power by transformer, meters' clocks.

-- Sags and swells as meters tell them; a value that is none, from before drivers looked at it, is null. ended_at: by the
-- meter's clock, when voltage was back. extreme_v: the lowest of a sag, the highest of a swell.
CREATE VIEW voltage_event AS
SELECT
    e.meter_id,
    d.vendor_profile,
    d.usage_point,
    u.transformer,
    e.code,
    e.detail ->> 'phase' AS phase,
    e.device_time AS ended_at,
    CASE WHEN jsonb_typeof(e.detail -> 'duration_s') = 'number' THEN (e.detail ->> 'duration_s')::float8 END
        AS duration_s,
    v.volts AS extreme_v,
    v.volts / coalesce(u.nominal_voltage_v, 230) * 100 AS of_nominal_percent,
    e.received_at
FROM end_device_event e
JOIN end_device d ON d.id = e.meter_id
LEFT JOIN network_usage_point u USING (usage_point)
CROSS JOIN LATERAL (
    SELECT CASE
        WHEN e.code = 'voltage_sag' AND jsonb_typeof(e.detail -> 'lowest_v') = 'number'
            THEN (e.detail ->> 'lowest_v')::float8
        WHEN e.code = 'voltage_swell' AND jsonb_typeof(e.detail -> 'highest_v') = 'number'
            THEN (e.detail ->> 'highest_v')::float8
    END AS volts
) v
WHERE e.code IN ('voltage_sag', 'voltage_swell');
CREATE INDEX end_device_event_voltage ON end_device_event (device_time) WHERE code IN ('voltage_sag', 'voltage_swell');

-- What the meters below each transformer recorded of reactive energy, beside the active energy of the same meters; no
-- household's own figures. By first values: to look for later ones would open all chunks, and what is revised is rare.
-- Meters that count no reactive energy are in neither sum.
CREATE VIEW metered_reactive_energy AS
SELECT
    u.transformer,
    r.interval_start,
    r.interval_length_s,
    count(*) AS readings,
    sum(r.import_wh - coalesce(r.export_wh, 0)) AS energy_wh,
    sum(r.reactive_q1_varh + r.reactive_q2_varh) AS reactive_import_varh,
    sum(r.reactive_q3_varh + r.reactive_q4_varh) AS reactive_export_varh
FROM interval_reading r
JOIN end_device d ON d.id = r.meter_id
JOIN network_usage_point u ON u.usage_point = d.usage_point
WHERE u.transformer IS NOT NULL AND r.revision = 0 AND r.reactive_q1_varh IS NOT NULL
GROUP BY u.transformer, r.interval_start, r.interval_length_s;

-- Intervals that meters themselves mark: their clock was invalid, or was put right (status 1 and 2).
CREATE VIEW clock_doubt AS
SELECT
    r.meter_id,
    d.vendor_profile,
    r.interval_start,
    r.interval_length_s,
    (r.status & 1)::boolean AS clock_invalid,
    (r.status & 2)::boolean AS clock_adjusted
FROM network_reading r
JOIN end_device d ON d.id = r.meter_id
WHERE r.status & 3 > 0 AND r.revision = 0;
