-- Interruptions as meters report them, and the outages that explain them.

-- What one meter says of one loss of supply. gasp_received_at, restore_received_at: the head-end's clock. pending: not yet
-- looked at since it last changed; outages are derived from the rest again whenever something is pending.
CREATE TABLE interruption (
    meter_id integer NOT NULL REFERENCES end_device (id),
    down_at timestamptz NOT NULL,
    up_at timestamptz,
    gasp_received_at timestamptz,
    restore_received_at timestamptz,
    pending boolean NOT NULL DEFAULT true,
    PRIMARY KEY (meter_id, down_at)
);
CREATE INDEX interruption_down_at ON interruption (down_at);
CREATE INDEX interruption_pending ON interruption (down_at) WHERE pending;

-- reported_from: the first loss in the group of reports that the outage was derived from. equivalent_devices: all devices
-- whose opening darkens the same customers; device is the one nearest to the source. An outage that later reports explain
-- otherwise is withdrawn, not deleted: somebody may have acted on it.
CREATE TABLE outage (
    id integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    reported_from timestamptz NOT NULL,
    began_at timestamptz NOT NULL,
    ended_at timestamptz,
    device text,
    device_kind text,
    equivalent_devices text[] NOT NULL,
    detected_at timestamptz NOT NULL,
    revised_at timestamptz NOT NULL,
    withdrawn_at timestamptz
);
CREATE INDEX outage_reported_from ON outage (reported_from);
CREATE INDEX outage_open ON outage (began_at) WHERE ended_at IS NULL AND withdrawn_at IS NULL;

-- Without gasp_received_at and restore_received_at the meter itself said nothing: its loss is inferred from the device's.
CREATE TABLE outage_usage_point (
    outage_id integer NOT NULL REFERENCES outage (id),
    meter_id integer NOT NULL REFERENCES end_device (id),
    dark_from timestamptz NOT NULL,
    dark_to timestamptz,
    gasp_received_at timestamptz,
    restore_received_at timestamptz,
    PRIMARY KEY (outage_id, meter_id)
);
CREATE INDEX outage_usage_point_meter ON outage_usage_point (meter_id, dark_from);

-- One row per outage and customer: what somebody else needs to judge the detection.
CREATE VIEW detected_outage AS
SELECT
    o.id::text AS outage,
    o.device,
    o.device_kind,
    o.detected_at,
    d.usage_point,
    d.serial,
    p.dark_from,
    p.dark_to,
    p.gasp_received_at,
    p.restore_received_at
FROM outage o
JOIN outage_usage_point p ON p.outage_id = o.id
JOIN end_device d ON d.id = p.meter_id
WHERE o.withdrawn_at IS NULL;

-- IEEE Std 1366-2022: an interruption of more than five minutes is sustained, any other is momentary.
CREATE VIEW outage_report AS
SELECT
    o.id AS outage,
    CASE
        WHEN o.ended_at IS NULL THEN 'open'
        WHEN o.ended_at - o.began_at > interval '5 minutes' THEN 'sustained'
        ELSE 'momentary'
    END AS status,
    o.device,
    o.device_kind,
    o.equivalent_devices,
    o.began_at,
    o.ended_at,
    extract(epoch FROM o.ended_at - o.began_at) AS duration_s,
    count(*) AS customers,
    count(p.gasp_received_at) AS last_gasps,
    count(p.restore_received_at) AS restores,
    count(*) FILTER (WHERE p.gasp_received_at IS NULL AND p.restore_received_at IS NULL) AS inferred,
    sum(extract(epoch FROM p.dark_to - p.dark_from)) / 60 AS customer_minutes,
    o.detected_at,
    o.revised_at
FROM outage o
JOIN outage_usage_point p ON p.outage_id = o.id
WHERE o.withdrawn_at IS NULL
GROUP BY o.id;

-- What a customer lived through: shares in outages that follow one another without a break are one interruption.
CREATE VIEW customer_interruption AS
WITH share AS (
    SELECT
        p.meter_id,
        p.dark_from,
        p.dark_to,
        max(coalesce(p.dark_to, 'infinity')) OVER (
            PARTITION BY p.meter_id ORDER BY p.dark_from, p.outage_id
            ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING
        ) AS dark_before
    FROM outage_usage_point p
    JOIN outage o ON o.id = p.outage_id
    WHERE o.withdrawn_at IS NULL
), numbered AS (
    SELECT
        meter_id,
        dark_from,
        dark_to,
        count(*) FILTER (WHERE dark_before IS NULL OR dark_before < dark_from)
            OVER (PARTITION BY meter_id ORDER BY dark_from) AS number
    FROM share
)
SELECT
    meter_id,
    min(dark_from) AS dark_from,
    nullif(max(coalesce(dark_to, 'infinity')), 'infinity') AS dark_to,
    nullif(max(coalesce(dark_to, 'infinity')), 'infinity') - min(dark_from) > interval '5 minutes' AS sustained
FROM numbered
GROUP BY meter_id, number;

-- IEEE Std 1366-2022, by the UTC day on which an interruption began; those that still last are not counted yet. Customers
-- served: registered devices. SAIDI and CAIDI in minutes. For several days add SAIDI, SAIFI and MAIFI up; CAIDI is
-- SAIDI / SAIFI.
CREATE VIEW reliability_indices AS
WITH served AS (
    SELECT count(*)::float8 AS customers FROM end_device
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
