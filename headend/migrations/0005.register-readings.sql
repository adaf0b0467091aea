-- Answered polls of meters without a memory of intervals, whose intervals are the differences of these registers.

-- boundary: that of the interval grid which the poll was for; read_at: when it was answered, by the head-end's clock.
CREATE TABLE register_reading (
    meter_id integer NOT NULL,
    boundary timestamptz NOT NULL,
    read_at timestamptz NOT NULL,
    import_register_wh bigint NOT NULL,
    export_register_wh bigint NOT NULL,
    active_power_w bigint NOT NULL,
    voltage_l1_v double precision NOT NULL,
    voltage_l2_v double precision NOT NULL,
    voltage_l3_v double precision NOT NULL,
    committed_at timestamptz NOT NULL,
    PRIMARY KEY (meter_id, boundary)
);
