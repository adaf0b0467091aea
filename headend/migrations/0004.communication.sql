-- Whether meters and their collectors can be reached, as the head-end sees it; it says nothing of supply.

-- at: the head-end's clock. A row for each change of a meter's state, the first that is known included.
CREATE TABLE device_communication (
    meter_id integer NOT NULL REFERENCES end_device (id),
    at timestamptz NOT NULL,
    online boolean NOT NULL,
    PRIMARY KEY (meter_id, at)
);

-- born_at: when its last birth was received; changed_at: when it was last seen to come or go. Null before the first.
CREATE TABLE collector (
    device_group text NOT NULL,
    edge_node text NOT NULL,
    online boolean NOT NULL DEFAULT false,
    bdseq bigint,
    meters integer,
    born_at timestamptz,
    changed_at timestamptz,
    PRIMARY KEY (device_group, edge_node)
);

-- Several changes at one instant leave its last one, which may be what was before.
CREATE VIEW communication_history AS
SELECT d.serial, d.usage_point, c.at, c.online
FROM (
    SELECT meter_id, at, online, lag(online) OVER (PARTITION BY meter_id ORDER BY at) AS before
    FROM device_communication
) c
JOIN end_device d ON d.id = c.meter_id
WHERE c.online IS DISTINCT FROM c.before;
