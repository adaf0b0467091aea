-- What meters measure beside active energy: reactive energy in four channels, and each phase at the moment of reading.

-- Quadrants as in IEC 62056-61 (5.8.0 to 8.8.0), by the signs of active and reactive power: q1 +P +Q, q2 -P +Q,
-- q3 -P -Q, q4 +P -Q; + is from the grid. Powers of a phase are net. What a quarter-hour counts, and powers, fit four
-- bytes: each byte of a row is paid for each reading. Null where a meter says nothing of it. Statements of their own,
-- since a hypertable that is compressed takes one column at a time.
ALTER TABLE interval_reading ADD COLUMN reactive_q1_register_varh bigint;
ALTER TABLE interval_reading ADD COLUMN reactive_q2_register_varh bigint;
ALTER TABLE interval_reading ADD COLUMN reactive_q3_register_varh bigint;
ALTER TABLE interval_reading ADD COLUMN reactive_q4_register_varh bigint;
ALTER TABLE interval_reading ADD COLUMN reactive_q1_varh integer;
ALTER TABLE interval_reading ADD COLUMN reactive_q2_varh integer;
ALTER TABLE interval_reading ADD COLUMN reactive_q3_varh integer;
ALTER TABLE interval_reading ADD COLUMN reactive_q4_varh integer;
ALTER TABLE interval_reading ADD COLUMN active_power_l1_w integer;
ALTER TABLE interval_reading ADD COLUMN active_power_l2_w integer;
ALTER TABLE interval_reading ADD COLUMN active_power_l3_w integer;
ALTER TABLE interval_reading ADD COLUMN reactive_power_l1_var integer;
ALTER TABLE interval_reading ADD COLUMN reactive_power_l2_var integer;
ALTER TABLE interval_reading ADD COLUMN reactive_power_l3_var integer;
ALTER TABLE interval_reading ADD COLUMN current_l1_a real;
ALTER TABLE interval_reading ADD COLUMN current_l2_a real;
ALTER TABLE interval_reading ADD COLUMN current_l3_a real;
ALTER TABLE interval_reading ADD COLUMN power_factor_l1 real;
ALTER TABLE interval_reading ADD COLUMN power_factor_l2 real;
ALTER TABLE interval_reading ADD COLUMN power_factor_l3 real;

-- The register of maximum demand at the end of the interval, and when the demand period ended that it is of.
ALTER TABLE interval_reading ADD COLUMN max_demand_import_w integer;
ALTER TABLE interval_reading ADD COLUMN max_demand_at timestamptz;

-- As in migration 0001, and the new columns behind.
CREATE OR REPLACE VIEW stored_reading AS
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
    r.ingested_at,
    r.reactive_q1_varh,
    r.reactive_q2_varh,
    r.reactive_q3_varh,
    r.reactive_q4_varh,
    r.reactive_q1_register_varh,
    r.reactive_q2_register_varh,
    r.reactive_q3_register_varh,
    r.reactive_q4_register_varh,
    r.active_power_l1_w,
    r.active_power_l2_w,
    r.active_power_l3_w,
    r.reactive_power_l1_var,
    r.reactive_power_l2_var,
    r.reactive_power_l3_var,
    r.current_l1_a,
    r.current_l2_a,
    r.current_l3_a,
    r.power_factor_l1,
    r.power_factor_l2,
    r.power_factor_l3,
    r.max_demand_import_w,
    r.max_demand_at
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

-- Meters with two registers of reactive energy, from the grid (OBIS 3.8.0) and into it (4.8.0), as polls found them.
ALTER TABLE register_reading ADD COLUMN reactive_import_register_varh bigint;
ALTER TABLE register_reading ADD COLUMN reactive_export_register_varh bigint;
