-- What meters showed when somebody asked (`register.read`): beside the intervals, in no sum and for no interval.

-- read_at: by the meter's clock, or that of whoever read it where it has none. implausible: why it cannot be believed.
CREATE TABLE on_demand_reading (
    command_id uuid PRIMARY KEY REFERENCES command (id) ON DELETE CASCADE,
    meter_id integer NOT NULL,
    read_at timestamptz NOT NULL,
    import_register_wh bigint,
    export_register_wh bigint,
    active_power_w bigint,
    voltage_l1_v double precision,
    voltage_l2_v double precision,
    voltage_l3_v double precision,
    implausible text,
    received_at timestamptz NOT NULL,
    committed_at timestamptz NOT NULL,
    ingested_at timestamptz NOT NULL DEFAULT clock_timestamp()
);
CREATE INDEX on_demand_reading_meter ON on_demand_reading (meter_id, read_at);
