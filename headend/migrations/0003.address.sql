-- Where a meter without a connection of its own is reached: its collector, or host:port/unit behind a Modbus gateway.
ALTER TABLE end_device ADD COLUMN address text NOT NULL DEFAULT '';
