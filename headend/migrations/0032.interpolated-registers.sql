-- Registers of meters that report in a rhythm of their own, and not at the boundaries of intervals.

-- Such registers lie on the straight line between the reports around a boundary; the intervals at them are estimated.
ALTER TABLE register_reading ADD COLUMN interpolated boolean NOT NULL DEFAULT false;
-- A meter may report its registers alone.
ALTER TABLE register_reading ALTER COLUMN active_power_w DROP NOT NULL;
