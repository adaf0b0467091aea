-- The head-end's schema. Times are timestamptz; device_time is the meter's clock, received_at and committed_at are the
-- head-end's clock, ingested_at is the wall clock of the database.

CREATE TABLE headend_feature (
    name text PRIMARY KEY,
    value text
);

CREATE TABLE end_device (
    id integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    serial text NOT NULL UNIQUE,
    vendor_profile text NOT NULL,
    usage_point text NOT NULL,
    device_group text NOT NULL,
    registered_at timestamptz NOT NULL,
    command_counter bigint NOT NULL DEFAULT 0
);

-- No foreign key to end_device: its trigger costs more than the insert, and meter_id only ever comes from the registry.
-- quality: 0 actual, 1 estimated, 2 revised. origin: 0 reported by the meter, 1 recovered by asking.
CREATE TABLE interval_reading (
    meter_id integer NOT NULL,
    interval_length_s integer NOT NULL,
    interval_start timestamptz NOT NULL,
    device_time timestamptz NOT NULL,
    received_at timestamptz NOT NULL,
    committed_at timestamptz NOT NULL,
    ingested_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    import_register_wh bigint,
    export_register_wh bigint,
    import_wh bigint NOT NULL,
    export_wh bigint,
    import_l1_wh bigint,
    import_l2_wh bigint,
    import_l3_wh bigint,
    export_l1_wh bigint,
    export_l2_wh bigint,
    export_l3_wh bigint,
    import_power_w bigint,
    export_power_w bigint,
    voltage_l1_v double precision,
    voltage_l2_v double precision,
    voltage_l3_v double precision,
    status integer,
    revision smallint NOT NULL,
    quality smallint NOT NULL,
    origin smallint NOT NULL,
    PRIMARY KEY (meter_id, interval_start, interval_length_s, revision)
);

-- Revisions are rare: finding the current row of a key then costs a look into a nearly empty index.
CREATE INDEX interval_reading_revised ON interval_reading (meter_id, interval_start, interval_length_s, revision)
    WHERE revision > 0;

CREATE TABLE other_reading (
    meter_id integer NOT NULL,
    interval_start timestamptz NOT NULL,
    interval_length_s integer NOT NULL,
    reading_type text NOT NULL,
    value double precision NOT NULL,
    received_at timestamptz NOT NULL,
    ingested_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (meter_id, interval_start, interval_length_s, reading_type, value)
);

-- Intervals that the meter itself says it has no record of: asking again is of no use.
CREATE TABLE interval_gap (
    meter_id integer NOT NULL,
    interval_start timestamptz NOT NULL,
    interval_length_s integer NOT NULL,
    reason text NOT NULL CHECK (reason IN ('no_record', 'beyond_memory')),
    command_id text NOT NULL,
    noted_at timestamptz NOT NULL,
    PRIMARY KEY (meter_id, interval_start, interval_length_s)
);

-- The whole event is the key: a meter that lost its memory starts its sequence anew, and both are kept.
CREATE TABLE end_device_event (
    meter_id integer NOT NULL REFERENCES end_device (id),
    sequence bigint NOT NULL,
    code text NOT NULL,
    device_time timestamptz NOT NULL,
    detail jsonb NOT NULL,
    received_at timestamptz NOT NULL,
    committed_at timestamptz NOT NULL,
    ingested_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (meter_id, sequence, device_time, code)
);

CREATE TABLE device_state (
    meter_id integer PRIMARY KEY REFERENCES end_device (id),
    online boolean NOT NULL,
    boot integer,
    device_time timestamptz,
    received_at timestamptz NOT NULL
);

-- detail says the full length where the payload was cut.
CREATE TABLE dead_letter (
    id uuid PRIMARY KEY,
    received_at timestamptz NOT NULL,
    topic text NOT NULL,
    payload bytea NOT NULL,
    reason text NOT NULL,
    detail text NOT NULL,
    ingested_at timestamptz NOT NULL DEFAULT clock_timestamp()
);
CREATE INDEX dead_letter_received_at ON dead_letter (received_at);

CREATE TABLE command (
    id uuid PRIMARY KEY,
    meter_id integer NOT NULL REFERENCES end_device (id),
    purpose text NOT NULL,
    params jsonb NOT NULL,
    counter bigint NOT NULL,
    issued_at timestamptz NOT NULL,
    expires_at timestamptz NOT NULL,
    status text NOT NULL CHECK (status IN ('issued', 'answered', 'expired', 'refused')),
    finished_at timestamptz,
    reason text,
    UNIQUE (meter_id, counter)
);
CREATE INDEX command_open ON command (expires_at) WHERE status = 'issued';

-- What a reader takes for the meter's value: the row of the highest revision of each interval.
CREATE VIEW stored_reading AS
SELECT
    d.serial,
    d.usage_point,
    d.vendor_profile,
    r.interval_start,
    r.interval_length_s,
    r.import_wh,
    r.export_wh,
    r.import_l1_wh,
    r.import_l2_wh,
    r.import_l3_wh,
    r.export_l1_wh,
    r.export_l2_wh,
    r.export_l3_wh,
    r.import_register_wh,
    r.export_register_wh,
    r.import_power_w,
    r.export_power_w,
    r.voltage_l1_v,
    r.voltage_l2_v,
    r.voltage_l3_v,
    r.status,
    CASE r.quality WHEN 0 THEN 'actual' WHEN 1 THEN 'estimated' ELSE 'revised' END AS quality,
    CASE r.origin WHEN 0 THEN 'reported' ELSE 'recovered' END AS origin,
    r.revision,
    r.device_time,
    r.received_at,
    r.committed_at,
    r.ingested_at
FROM interval_reading r
JOIN end_device d ON d.id = r.meter_id
WHERE NOT EXISTS (
    SELECT FROM interval_reading newer
    WHERE newer.meter_id = r.meter_id
      AND newer.interval_start = r.interval_start
      AND newer.interval_length_s = r.interval_length_s
      AND newer.revision > r.revision
      AND newer.revision > 0
);
