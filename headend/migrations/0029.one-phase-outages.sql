-- Outages of a device that is open in one phase only: L1, L2 or L3. NULL: in all of them.
ALTER TABLE outage ADD COLUMN phase text;

CREATE OR REPLACE VIEW detected_outage AS
SELECT
    o.id::text AS outage,
    o.device,
    o.device_kind,
    o.detected_at,
    d.usage_point,
    d.serial,
    p.dark_from,
    p.dark_to,
    p.gasp_received_at,
    p.restore_received_at,
    o.phase
FROM outage o
JOIN outage_usage_point p ON p.outage_id = o.id
JOIN end_device d ON d.id = p.meter_id
WHERE o.withdrawn_at IS NULL;

-- What meters tell of lost phases is evidence for them.
CREATE INDEX end_device_event_phase ON end_device_event (device_time) WHERE code = 'phase_loss';
