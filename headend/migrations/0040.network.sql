-- The network between meters and head-end, as the head-end sees it: what arrived, how long it took, what was repeated.

-- What each carrier brought in each hour of the head-end's clock. carrier: the collector (edge node); '' stands for the
-- meters that have a connection of their own. bytes: of payloads, without what protocols add. Only what could be read.
CREATE TABLE traffic (
    hour timestamptz NOT NULL,
    carrier text NOT NULL,
    messages bigint NOT NULL,
    bytes bigint NOT NULL,
    PRIMARY KEY (hour, carrier)
);

-- Whose network carries each meter: its collector; or for a connection of its own its cell, '' where nobody says which.
-- traffic: as whose its messages are counted. Who is polled has none.
CREATE VIEW meter_carrier AS
SELECT id AS meter_id, vendor_profile, coalesce(nullif(address, ''), cell) AS carrier, address AS traffic
FROM end_device
WHERE position(':' IN address) = 0;

-- How long what meters told was on its way: from the instant that the event bears, by the meter's clock, to the
-- head-end's socket. Classes and limits are those of RFC 8036, 4.2. A last gasp is in none of them: whoever sends one
-- has no supply.
CREATE VIEW told_event AS
SELECT
    e.meter_id,
    c.carrier,
    k.class,
    k.within_s,
    e.received_at,
    greatest(extract(epoch FROM e.received_at - e.device_time)::float8, 0) AS delay_s
FROM end_device_event e
JOIN meter_carrier c ON c.meter_id = e.meter_id
JOIN (VALUES
    ('power_restore', 'C1, outages and restorations', 5), ('momentary', 'C1, outages and restorations', 5),
    ('phase_loss', 'C1, outages and restorations', 5), ('phase_restored', 'C1, outages and restorations', 5),
    ('voltage_sag', 'C2, power quality', 10), ('voltage_swell', 'C2, power quality', 10),
    ('relay_opened', 'C2, power quality', 10), ('relay_closed', 'C2, power quality', 10),
    ('reboot', 'C3, system', 30), ('clock_adjusted', 'C3, system', 30), ('command_refused', 'C3, system', 30)
) AS k (code, class, within_s) ON k.code = e.code;

-- Delivery by class in [begins, ends): messages, those in time, and how long half and 95 % of them took. Of reads the
-- time counts from when the profile has them reported; those that never came are no message here (read_figure).
CREATE FUNCTION delivery_figure(begins timestamptz, ends timestamptz)
RETURNS TABLE (class text, within_s double precision, messages bigint, in_time bigint, in_time_share double precision,
    p50_s double precision, p95_s double precision)
LANGUAGE sql STABLE AS $$
    WITH message AS (
        SELECT t.class, t.within_s::float8 AS within_s, t.delay_s
        FROM told_event t
        WHERE t.received_at >= begins AND t.received_at < ends
        UNION ALL
        SELECT 'C4, reads', 7200, greatest(extract(epoch FROM r.received_at - r.deadline)::float8 + 300, 0)
        FROM judged_reading r
        JOIN meter_carrier c ON c.meter_id = r.meter_id
        WHERE r.interval_start >= begins AND r.interval_start < ends AND r.actual
    )
    SELECT m.class, m.within_s, count(*), count(*) FILTER (WHERE m.delay_s <= m.within_s),
        count(*) FILTER (WHERE m.delay_s <= m.within_s) / count(*)::float8,
        percentile_cont(0.5) WITHIN GROUP (ORDER BY m.delay_s), percentile_cont(0.95) WITHIN GROUP (ORDER BY m.delay_s)
    FROM message m
    GROUP BY 1, 2
$$;

-- Last gasps of the interruptions that began in [begins, ends) and whose end the meter told: there was one to be heard.
CREATE FUNCTION gasp_figure(begins timestamptz, ends timestamptz)
RETURNS TABLE (interruptions bigint, heard bigint, heard_share double precision)
LANGUAGE sql STABLE AS $$
    SELECT count(*), count(i.gasp_received_at), count(i.gasp_received_at) / nullif(count(*), 0)::float8
    FROM interruption i
    JOIN meter_carrier c ON c.meter_id = i.meter_id
    WHERE i.down_at >= begins AND i.down_at < ends AND i.restore_received_at IS NOT NULL
$$;

-- What each carrier did with the reads of [begins, ends), the requests that were issued in it, and its traffic.
-- requests: load profiles asked for; repeated: sendings beyond the first; unanswered: expired. Cells have the mean of all
-- meters with a connection of their own as bytes.
CREATE FUNCTION carrier_figure(begins timestamptz, ends timestamptz)
RETURNS TABLE (carrier text, meters bigint, reads bigint, late bigint, late_share double precision, recovered bigint,
    requests bigint, repeated bigint, unanswered bigint, bytes_per_meter_and_day double precision)
LANGUAGE sql STABLE AS $$
    WITH read AS (
        SELECT c.carrier, count(*) AS reads, count(*) FILTER (WHERE r.committed_at > r.deadline) AS late,
            count(*) FILTER (WHERE r.recovered) AS recovered
        FROM judged_reading r
        JOIN meter_carrier c ON c.meter_id = r.meter_id
        WHERE r.interval_start >= begins AND r.interval_start < ends AND r.actual
        GROUP BY 1
    ), asked AS (
        SELECT c.carrier, count(*) AS requests, sum(greatest(k.attempts - 1, 0)) AS repeated,
            count(*) FILTER (WHERE k.status IN ('expired', 'cancelled')) AS unanswered
        FROM command k
        JOIN meter_carrier c ON c.meter_id = k.meter_id
        WHERE k.requested_at >= begins AND k.requested_at < ends AND k.purpose = 'load_profile.read'
        GROUP BY 1
    ), carried AS (
        SELECT t.carrier AS traffic, sum(t.bytes) / count(DISTINCT t.hour) * 24.0 AS bytes_per_day
        FROM traffic t
        WHERE t.hour > begins - interval '1 hour' AND t.hour < ends
        GROUP BY 1
    ), metered AS (
        SELECT c.carrier, c.traffic, count(*) AS meters, sum(count(*)) OVER (PARTITION BY c.traffic) AS sharing
        FROM meter_carrier c
        GROUP BY 1, 2
    )
    SELECT m.carrier, m.meters, coalesce(read.reads, 0), coalesce(read.late, 0),
        read.late / nullif(read.reads, 0)::float8, coalesce(read.recovered, 0), coalesce(asked.requests, 0),
        coalesce(asked.repeated, 0)::bigint, coalesce(asked.unanswered, 0), (carried.bytes_per_day / m.sharing)::float8
    FROM metered m
    LEFT JOIN read USING (carrier)
    LEFT JOIN asked USING (carrier)
    LEFT JOIN carried USING (traffic)
$$;
