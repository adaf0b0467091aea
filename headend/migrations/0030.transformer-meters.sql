-- Transformers have meters of their own, read over a wire as any other: what they deliver is a reading, with its class,
-- its gaps and its estimates. The table that a simulated historian wrote held the lab's truth, which no head-end can
-- have: it goes, and nothing takes its rows over.
DROP FUNCTION transformer_loss(timestamptz, timestamptz);
DROP TABLE transformer_measurement;

-- A meter whose usage point is a transformer of the network model (docs/network-model.md) measures at its low-voltage
-- side. No customer has it.
CREATE VIEW transformer_meter AS
SELECT d.id AS meter_id, d.serial, n.id AS transformer, n.rated_kva
FROM end_device d
JOIN network_device n ON n.id = d.usage_point AND n.kind = 'transformer';

-- What they recorded: energy_wh is net, negative where more was fed back than taken; estimated: it is split over missed
-- polls. loading_percent: the mean apparent power of the interval, of the rating; of active power alone where the meter
-- says nothing of reactive energy, and null where the model has no rating.
CREATE VIEW transformer_energy AS
SELECT
    e.transformer,
    e.meter_id,
    e.interval_start,
    e.interval_length_s,
    e.energy_wh,
    e.estimated,
    sqrt(e.energy_wh::float8 ^ 2 + e.reactive_varh::float8 ^ 2) * 3.6 / e.interval_length_s / e.rated_kva * 100
        AS loading_percent
FROM (
    SELECT t.transformer, t.meter_id, t.rated_kva, r.interval_start, r.interval_length_s,
        sum(coalesce(r.import_correction_wh, r.import_wh)) - sum(coalesce(r.export_correction_wh, r.export_wh, 0))
            AS energy_wh,
        coalesce(
            sum(r.reactive_q1_varh + r.reactive_q2_varh - r.reactive_q3_varh - r.reactive_q4_varh)
                FILTER (WHERE r.revision = 0),
            0
        ) AS reactive_varh,
        bool_and(r.quality = 1) AS estimated
    FROM interval_reading r
    JOIN transformer_meter t ON t.meter_id = r.meter_id
    GROUP BY t.transformer, t.meter_id, t.rated_kva, r.interval_start, r.interval_length_s
) e;

-- What each transformer's meter delivered and its customers' meters recorded, for full hours that begin in [begins, ends)
-- of which every reading is there, and none of the transformer's is estimated. lost_wh: lines, unmetered loads, theft,
-- and the errors of all these meters.
CREATE FUNCTION transformer_loss(begins timestamptz, ends timestamptz)
RETURNS TABLE (transformer text, hour_s double precision, meters bigint, delivered_wh double precision,
    metered_wh double precision, lost_wh double precision)
LANGUAGE sql STABLE AS $$
    SELECT m.transformer, m.hour_s, f.meters, t.energy_wh, m.energy_wh, t.energy_wh - m.energy_wh
    FROM (
        SELECT e.transformer, floor(extract(epoch FROM e.interval_start)::float8 / 3600) * 3600 AS hour_s,
            sum(e.energy_wh)::float8 AS energy_wh, sum(e.readings * e.interval_length_s) AS covered_s
        FROM metered_energy e
        WHERE e.interval_start >= begins AND e.interval_start < ends
        GROUP BY 1, 2
    ) m
    JOIN (
        SELECT x.transformer, floor(extract(epoch FROM x.interval_start)::float8 / 3600) * 3600 AS hour_s,
            sum(x.energy_wh)::float8 AS energy_wh, sum(x.interval_length_s) AS covered_s
        FROM transformer_energy x
        WHERE x.interval_start >= begins AND x.interval_start < ends AND NOT x.estimated
        GROUP BY 1, 2
    ) t ON t.transformer = m.transformer AND t.hour_s = m.hour_s
    JOIN (
        SELECT u.transformer, count(*) AS meters
        FROM network_usage_point u
        JOIN end_device d USING (usage_point)
        GROUP BY 1
    ) f ON f.transformer = m.transformer
    WHERE t.covered_s = 3600 AND m.covered_s = 3600 * f.meters
$$;

-- IEEE Std 1366-2022, as before; customers served are the registered devices but those of transformers.
CREATE OR REPLACE VIEW reliability_indices AS
WITH served AS (
    SELECT count(*)::float8 AS customers FROM end_device d
    WHERE NOT EXISTS (SELECT FROM transformer_meter t WHERE t.meter_id = d.id)
), day AS (
    SELECT
        (dark_from AT TIME ZONE 'UTC')::date AS day,
        count(*) FILTER (WHERE sustained) AS sustained_interruptions,
        count(*) FILTER (WHERE NOT sustained) AS momentary_interruptions,
        coalesce(sum(extract(epoch FROM dark_to - dark_from)) FILTER (WHERE sustained), 0)::float8 / 60
            AS customer_minutes
    FROM customer_interruption
    WHERE dark_to IS NOT NULL
    GROUP BY 1
)
SELECT
    day,
    customers::bigint AS customers_served,
    sustained_interruptions,
    momentary_interruptions,
    customer_minutes,
    customer_minutes / customers AS saidi_min,
    sustained_interruptions / customers AS saifi,
    customer_minutes / nullif(sustained_interruptions, 0) AS caidi_min,
    momentary_interruptions / customers AS maifi
FROM day, served;
