-- Meters that are other than their vendor's are of themselves: an existing wire, with other facts.

-- The vendor profile whose driver reads the device, where it is not its own; and where its registers begin at 0 again,
-- where not as its driver has it. interval_length_s and report_every_s are those that it is set to.
ALTER TABLE end_device ADD COLUMN wire text;
ALTER TABLE end_device ADD COLUMN register_range_wh bigint;
