-- What a meter shows when somebody asks: all that it has, and no longer active energy, power and voltages alone.

-- Quadrants as in migration 0026; the registers from the grid (OBIS 3.8.0) and into it (4.8.0) are of meters that have
-- two. Powers of a phase are net. Null where a meter says nothing of it.
ALTER TABLE on_demand_reading ADD COLUMN reactive_q1_register_varh bigint;
ALTER TABLE on_demand_reading ADD COLUMN reactive_q2_register_varh bigint;
ALTER TABLE on_demand_reading ADD COLUMN reactive_q3_register_varh bigint;
ALTER TABLE on_demand_reading ADD COLUMN reactive_q4_register_varh bigint;
ALTER TABLE on_demand_reading ADD COLUMN reactive_import_register_varh bigint;
ALTER TABLE on_demand_reading ADD COLUMN reactive_export_register_varh bigint;
ALTER TABLE on_demand_reading ADD COLUMN active_power_l1_w bigint;
ALTER TABLE on_demand_reading ADD COLUMN active_power_l2_w bigint;
ALTER TABLE on_demand_reading ADD COLUMN active_power_l3_w bigint;
ALTER TABLE on_demand_reading ADD COLUMN reactive_power_l1_var bigint;
ALTER TABLE on_demand_reading ADD COLUMN reactive_power_l2_var bigint;
ALTER TABLE on_demand_reading ADD COLUMN reactive_power_l3_var bigint;
ALTER TABLE on_demand_reading ADD COLUMN current_l1_a double precision;
ALTER TABLE on_demand_reading ADD COLUMN current_l2_a double precision;
ALTER TABLE on_demand_reading ADD COLUMN current_l3_a double precision;
ALTER TABLE on_demand_reading ADD COLUMN power_factor_l1 double precision;
ALTER TABLE on_demand_reading ADD COLUMN power_factor_l2 double precision;
ALTER TABLE on_demand_reading ADD COLUMN power_factor_l3 double precision;
ALTER TABLE on_demand_reading ADD COLUMN max_demand_import_w bigint;
ALTER TABLE on_demand_reading ADD COLUMN max_demand_at timestamptz;
