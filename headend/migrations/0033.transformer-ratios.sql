-- Meters that count the secondary of instrument transformers.

-- What the primary is of what the meter counts: current transformers, voltage transformers. Energies, powers, currents
-- and voltages of interval_reading are of the primary; registers are as the meter shows them.
ALTER TABLE end_device ADD COLUMN current_ratio double precision NOT NULL DEFAULT 1;
ALTER TABLE end_device ADD COLUMN voltage_ratio double precision NOT NULL DEFAULT 1;
