-- Each figure of dashboards, page and report is defined here, once; docs/database.md says name, formula, unit and
-- source. They are what the head-end itself can know. A run's verdict judges against the truth: its figures are others.

-- What each meter owes: intervals of length_s from owed_from_s (epoch seconds) on, each by late_after_s after its
-- start: its length, the reporting interval and five minutes.
CREATE VIEW reading_duty AS
SELECT
    id AS meter_id,
    vendor_profile,
    coalesce(interval_length_s, 900) AS length_s,
    coalesce(interval_length_s, 900) + coalesce(report_every_s, 900) + 300 AS late_after_s,
    floor(extract(epoch FROM registered_at) / coalesce(interval_length_s, 900))::bigint
        * coalesce(interval_length_s, 900) AS owed_from_s
FROM end_device;

CREATE OR REPLACE FUNCTION due_reading(begins timestamptz, ends timestamptz, at timestamptz)
RETURNS TABLE (vendor_profile text, interval_start timestamptz, interval_length_s integer, deadline timestamptz,
    meters bigint)
LANGUAGE sql STABLE AS $$
    SELECT k.vendor_profile, to_timestamp(s.start_s), k.length_s, to_timestamp(s.start_s + k.late_after_s), k.meters
    FROM (
        SELECT d.vendor_profile, d.length_s, d.late_after_s, d.owed_from_s, count(*) AS meters
        FROM reading_duty d
        GROUP BY 1, 2, 3, 4
    ) k
    CROSS JOIN LATERAL generate_series(
        greatest(ceil(extract(epoch FROM begins) / k.length_s) * k.length_s, k.owed_from_s)::bigint,
        least(extract(epoch FROM ends) - 1, extract(epoch FROM at) - k.late_after_s)::bigint,
        k.length_s
    ) AS s (start_s)
    WHERE s.start_s + k.late_after_s <= extract(epoch FROM at)
$$;

-- Customers without supply, by the outages that the head-end has found and not withdrawn.
CREATE VIEW dark_customer AS
SELECT o.id AS outage, p.meter_id, p.dark_from, p.dark_to, p.gasp_received_at, p.restore_received_at, o.device,
    o.began_at, o.ended_at, o.detected_at
FROM outage o
JOIN outage_usage_point p ON p.outage_id = o.id
WHERE o.withdrawn_at IS NULL;

-- When the head-end knows each meter to have been without supply: by its outages, and by interruptions whose beginning
-- and end the meter itself has told. A last gasp alone is no knowledge: the detector makes an outage of it, or not.
-- What touches is one span; dark_to is null while it lasts.
CREATE VIEW known_darkness AS
WITH span AS (
    SELECT meter_id, dark_from, coalesce(dark_to, 'infinity') AS dark_to FROM dark_customer
    UNION ALL
    SELECT meter_id, down_at, up_at FROM interruption WHERE up_at > down_at
), placed AS (
    SELECT meter_id, dark_from, dark_to,
        max(dark_to) OVER (
            PARTITION BY meter_id ORDER BY dark_from, dark_to ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING
        ) AS dark_before
    FROM span
), numbered AS (
    SELECT meter_id, dark_from, dark_to,
        count(*) FILTER (WHERE dark_before IS NULL OR dark_before < dark_from)
            OVER (PARTITION BY meter_id ORDER BY dark_from, dark_to) AS number
    FROM placed
)
SELECT meter_id, min(dark_from) AS dark_from, nullif(max(dark_to), 'infinity') AS dark_to
FROM numbered
GROUP BY meter_id, number;

-- First values as they came. age_s: from the end of the interval to the commit; intake_s: from the socket to the
-- commit; both by the head-end's clock. deadline: that of a meter with supply. actual: not estimated. owed: it is one of
-- the intervals that the meter has to deliver.
CREATE VIEW judged_reading AS
SELECT
    r.meter_id,
    d.vendor_profile,
    r.interval_start,
    r.interval_length_s,
    r.received_at,
    r.committed_at,
    r.interval_start + make_interval(secs => d.late_after_s) AS deadline,
    r.quality <> 1 AS actual,
    r.origin = 1 AS recovered,
    r.interval_length_s = d.length_s AND extract(epoch FROM r.interval_start) >= d.owed_from_s
        AND mod(extract(epoch FROM r.interval_start)::bigint, d.length_s) = 0 AS owed,
    extract(epoch FROM r.committed_at - r.interval_start)::float8 - r.interval_length_s AS age_s,
    extract(epoch FROM r.committed_at - r.received_at)::float8 AS intake_s
FROM network_reading r
JOIN reading_duty d ON d.meter_id = r.meter_id
WHERE r.revision = 0;

-- The intervals that begin in [begins, ends) for which darkness counts. dark: without supply all the time; meters show
-- whole seconds of clocks that are a little off. no_record: the meter itself says that it has none. Neither is owed;
-- what a meter has and nobody can believe is owed all the same.
-- owed_by: of the others, when the read is due: the deadline is put off by as long as the meter was known to be dark,
-- and null while it still is. known_at: from when on nobody waits for the read by its ordinary deadline.
CREATE FUNCTION dark_reading(begins timestamptz, ends timestamptz)
RETURNS TABLE (meter_id integer, vendor_profile text, interval_start timestamptz, interval_length_s integer,
    deadline timestamptz, dark boolean, no_record boolean, owed_by timestamptz, known_at timestamptz)
LANGUAGE sql STABLE AS $$
    SELECT
        x.meter_id,
        x.vendor_profile,
        to_timestamp(x.start_s),
        x.length_s,
        to_timestamp(x.start_s + x.late_after_s),
        bool_or(x.dark),
        bool_or(x.no_record),
        CASE WHEN bool_and(x.over) AND NOT bool_or(x.dark) AND NOT bool_or(x.no_record)
            THEN to_timestamp(x.start_s + x.late_after_s + sum(x.dark_s)) END,
        CASE WHEN bool_and(x.no_record)
            THEN greatest(to_timestamp(x.start_s + x.late_after_s), max(x.noted_at))
            ELSE to_timestamp(x.start_s + x.late_after_s) END
    FROM (
        SELECT d.meter_id, d.vendor_profile, d.length_s, d.late_after_s, s.start_s,
            extract(epoch FROM k.dark_from) <= s.start_s + 2
                AND (k.dark_to IS NULL OR extract(epoch FROM k.dark_to) >= s.start_s + d.length_s - 2) AS dark,
            k.dark_to IS NOT NULL AS over,
            extract(epoch FROM k.dark_to)::float8 - greatest(extract(epoch FROM k.dark_from)::float8, s.start_s)
                AS dark_s,
            false AS no_record,
            NULL::timestamptz AS noted_at
        FROM known_darkness k
        JOIN reading_duty d ON d.meter_id = k.meter_id
        CROSS JOIN LATERAL generate_series(
            ceil(greatest(
                extract(epoch FROM begins), extract(epoch FROM k.dark_from) - d.late_after_s + 1, d.owed_from_s
            ) / d.length_s)::bigint * d.length_s,
            ceil(least(extract(epoch FROM ends), extract(epoch FROM k.dark_to)))::bigint - 1,
            d.length_s
        ) AS s (start_s)
        -- Darkness after the last interval still keeps it from being delivered.
        WHERE k.dark_from < ends + make_interval(secs => d.late_after_s) AND (k.dark_to IS NULL OR k.dark_to > begins)
        UNION ALL
        SELECT d.meter_id, d.vendor_profile, d.length_s, d.late_after_s,
            extract(epoch FROM g.interval_start)::bigint, false, true, 0, true, g.noted_at
        FROM interval_gap g
        JOIN reading_duty d ON d.meter_id = g.meter_id AND d.length_s = g.interval_length_s
        WHERE g.interval_start >= begins AND g.interval_start < ends AND g.reason <> 'implausible'
            AND extract(epoch FROM g.interval_start) >= d.owed_from_s
            AND mod(extract(epoch FROM g.interval_start)::bigint, d.length_s) = 0
    ) x
    GROUP BY x.meter_id, x.vendor_profile, x.length_s, x.late_after_s, x.start_s
$$;

-- What became of the intervals that begin in [begins, ends) and were due when the last of their readings was received:
-- in all, or by buckets of bucket_s (bucket_start_s: epoch seconds) and by vendor.
--
-- due = dark + no_record + expected; expected = received + estimated + missing; received = on_time + late. So no share
-- is above 1. recovered: of the received, only after being asked for. revised: values that came for stored intervals.
CREATE FUNCTION read_figure(begins timestamptz, ends timestamptz, bucket_s double precision DEFAULT NULL,
    by_vendor boolean DEFAULT false)
RETURNS TABLE (bucket_start_s double precision, vendor_profile text, due bigint, dark bigint, no_record bigint,
    expected bigint, received bigint, on_time bigint, late bigint, estimated bigint, missing bigint, recovered bigint,
    revised bigint, on_time_share double precision, received_share double precision,
    estimated_share double precision, missing_share double precision)
LANGUAGE sql STABLE AS $$
    WITH reading AS (
        SELECT * FROM judged_reading r WHERE r.interval_start >= begins AND r.interval_start < ends
    ), clock AS (
        SELECT max(r.received_at) AS at FROM reading r
    ), excuse AS (
        SELECT e.*, e.dark OR (NOT e.no_record AND (e.owed_by IS NULL OR e.owed_by > clock.at)) AS by_darkness,
            e.dark OR e.no_record OR e.owed_by IS NULL OR e.owed_by > clock.at AS holds
        FROM clock, dark_reading(begins, ends) e
        WHERE e.deadline <= clock.at
    ), judged AS (
        SELECT r.vendor_profile, r.interval_start, r.actual, r.recovered, e.by_darkness,
            coalesce(e.holds, false) AS excused,
            r.actual AND r.committed_at <= greatest(r.deadline, e.owed_by) AS on_time
        FROM reading r
        CROSS JOIN clock
        LEFT JOIN excuse e ON e.meter_id = r.meter_id AND e.interval_start = r.interval_start
        WHERE r.owed AND r.deadline <= clock.at
    ), part AS (
        SELECT u.vendor_profile, u.interval_start, u.meters AS due, 0 AS dark, 0 AS no_record, 0 AS received,
            0 AS on_time, 0 AS estimated, 0 AS recovered, 0 AS revised
        FROM clock, due_reading(begins, ends, clock.at) u
        UNION ALL
        SELECT e.vendor_profile, e.interval_start, 0, e.by_darkness::integer, (NOT e.by_darkness)::integer,
            0, 0, 0, 0, 0
        FROM excuse e
        WHERE e.holds
        UNION ALL
        -- What came in time although nobody owed it counts.
        SELECT j.vendor_profile, j.interval_start, 0,
            -(j.excused AND j.by_darkness)::integer,
            -(j.excused AND NOT j.by_darkness)::integer,
            j.actual::integer,
            j.on_time::integer,
            (NOT j.actual)::integer,
            (j.actual AND j.recovered)::integer,
            0
        FROM judged j
        WHERE j.on_time OR NOT j.excused
        UNION ALL
        SELECT d.vendor_profile, r.interval_start, 0, 0, 0, 0, 0, 0, 0, 1
        FROM network_reading r
        JOIN reading_duty d ON d.meter_id = r.meter_id
        WHERE r.interval_start >= begins AND r.interval_start < ends AND r.revision > 0
    ), summed AS (
        SELECT
            CASE WHEN bucket_s IS NULL THEN extract(epoch FROM begins)::float8
                ELSE floor(extract(epoch FROM p.interval_start)::float8 / bucket_s) * bucket_s END AS bucket_start_s,
            CASE WHEN by_vendor THEN p.vendor_profile END AS vendor_profile,
            sum(p.due)::bigint AS due,
            sum(p.dark)::bigint AS dark,
            sum(p.no_record)::bigint AS no_record,
            (sum(p.due) - sum(p.dark) - sum(p.no_record))::bigint AS expected,
            sum(p.received)::bigint AS received,
            sum(p.on_time)::bigint AS on_time,
            sum(p.estimated)::bigint AS estimated,
            sum(p.recovered)::bigint AS recovered,
            sum(p.revised)::bigint AS revised
        FROM part p
        GROUP BY 1, 2
    )
    SELECT
        s.bucket_start_s,
        s.vendor_profile,
        s.due,
        s.dark,
        s.no_record,
        s.expected,
        s.received,
        s.on_time,
        s.received - s.on_time,
        s.estimated,
        s.expected - s.received - s.estimated,
        s.recovered,
        s.revised,
        s.on_time / nullif(s.expected, 0)::float8,
        s.received / nullif(s.expected, 0)::float8,
        s.estimated / nullif(s.expected, 0)::float8,
        (s.expected - s.received - s.estimated) / nullif(s.expected, 0)::float8
    FROM summed s
$$;

-- How long actual reads took, of intervals that begin in [begins, ends), in seconds by the head-end's clock: age_…,
-- from the end of the interval to the commit, and intake_…, from the socket to the commit.
CREATE FUNCTION read_latency(begins timestamptz, ends timestamptz, bucket_s double precision DEFAULT NULL,
    by_vendor boolean DEFAULT false)
RETURNS TABLE (bucket_start_s double precision, vendor_profile text, readings bigint,
    age_p50_s double precision, age_p95_s double precision, age_p99_s double precision, age_max_s double precision,
    intake_p50_s double precision, intake_p95_s double precision, intake_max_s double precision)
LANGUAGE sql STABLE AS $$
    SELECT
        CASE WHEN bucket_s IS NULL THEN extract(epoch FROM begins)::float8
            ELSE floor(extract(epoch FROM r.interval_start)::float8 / bucket_s) * bucket_s END,
        CASE WHEN by_vendor THEN r.vendor_profile END,
        count(*),
        percentile_cont(0.5) WITHIN GROUP (ORDER BY r.age_s),
        percentile_cont(0.95) WITHIN GROUP (ORDER BY r.age_s),
        percentile_cont(0.99) WITHIN GROUP (ORDER BY r.age_s),
        max(r.age_s),
        percentile_cont(0.5) WITHIN GROUP (ORDER BY r.intake_s),
        percentile_cont(0.95) WITHIN GROUP (ORDER BY r.intake_s),
        max(r.intake_s)
    FROM judged_reading r
    WHERE r.interval_start >= begins AND r.interval_start < ends AND r.actual
    GROUP BY 1, 2
$$;

-- Of the meters of each vendor whose state is known. It says nothing of supply.
CREATE VIEW reachability AS
SELECT
    d.vendor_profile,
    count(*) FILTER (WHERE s.online) AS reachable,
    count(*) FILTER (WHERE NOT s.online) AS unreachable,
    count(*) FILTER (WHERE s.online) / count(*)::float8 AS reachable_share
FROM device_state s
JOIN end_device d ON d.id = s.meter_id
GROUP BY 1;

-- Load profiles that meters were asked for, by what became of it.
CREATE VIEW request_outcome AS
SELECT
    c.id,
    d.vendor_profile,
    c.issued_at,
    (c.status = 'answered')::integer AS answered,
    (c.status = 'expired')::integer AS expired,
    (c.status = 'refused')::integer AS refused,
    (c.status = 'issued')::integer AS open
FROM command c
JOIN end_device d ON d.id = c.meter_id;

-- What became of each poll. refused: the meter answered, with an exception of its own or with what is no register, as
-- with a wrong register map; a register that is not believed is one all the same. unanswered: nobody did, or its
-- gateway alone (Modbus exceptions 10 and 11).
CREATE VIEW poll_result AS
SELECT
    p.meter_id,
    d.vendor_profile,
    p.boundary,
    p.outcome,
    n.shown::integer AS answered,
    (NOT n.shown AND NOT n.nobody)::integer AS refused,
    n.nobody::integer AS unanswered
FROM poll_outcome p
JOIN end_device d ON d.id = p.meter_id
CROSS JOIN LATERAL (
    SELECT p.outcome IN ('no_answer', 'no_connection', 'not_asked') OR coalesce(p.exception_code IN (10, 11), false)
        AS nobody,
        p.outcome IN ('answered', 'register_backwards', 'register_jump') AS shown
) n;

-- Values that cannot be true, by interval: that there was one and why, not what it said.
CREATE VIEW implausible_interval AS
SELECT i.meter_id, d.vendor_profile, i.interval_start, i.interval_length_s, i.reason, i.origin, i.received_at,
    i.committed_at
FROM implausible_reading i
JOIN end_device d ON d.id = i.meter_id;

-- What could not be used: messages, how many each letter stands for, and the vendor whose meter is named in the topic.
CREATE VIEW dead_letter_origin AS
SELECT l.id, l.received_at, l.reason, l.copies AS messages, d.vendor_profile
FROM dead_letter l
LEFT JOIN LATERAL (
    SELECT e.vendor_profile FROM end_device e
    WHERE e.serial IN (split_part(l.topic, '/', 3), split_part(l.topic, '/', 5))
    LIMIT 1
) d ON true;

-- Phases that are connected and have voltage, of nominal (EN 50160: ±10 %); 230 V where the network model has none.
CREATE VIEW phase_voltage AS
SELECT
    r.meter_id,
    r.interval_start,
    u.usage_point,
    u.transformer,
    u.latitude,
    u.longitude,
    v.phase,
    v.volts,
    v.volts / coalesce(u.nominal_voltage_v, 230) * 100 AS of_nominal_percent
FROM network_usage_point u
JOIN end_device d USING (usage_point)
JOIN network_reading r ON r.meter_id = d.id
CROSS JOIN LATERAL (VALUES (1, r.voltage_l1_v), (2, r.voltage_l2_v), (3, r.voltage_l3_v)) AS v (phase, volts)
WHERE v.volts > 0;

-- What each transformer delivered and its meters recorded, for full hours that begin in [begins, ends) of which every
-- reading is there. lost_wh: lines, unmetered loads, theft.
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
            sum(x.energy_wh) AS energy_wh, sum(x.interval_length_s) AS covered_s
        FROM transformer_measurement x
        WHERE x.interval_start >= begins AND x.interval_start < ends
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
