-- Interruptions that no meter is believed (headend/outages/doubt.py): kept, in no outage and in no index.

-- reason: ahead_of_clock, too_old, overlaps or contradicts (what the meter said before), too_many. received_at: the
-- head-end's clock.
CREATE TABLE doubtful_interruption (
    meter_id integer NOT NULL REFERENCES end_device (id),
    down_at timestamptz NOT NULL,
    up_at timestamptz,
    reason text NOT NULL,
    received_at timestamptz NOT NULL,
    UNIQUE (meter_id, down_at, received_at, up_at, reason)
);
CREATE INDEX doubtful_interruption_received_at ON doubtful_interruption (received_at);

-- Who may be dark since an earlier loss is found without reading all that ended long ago.
CREATE INDEX interruption_up_at ON interruption (up_at);
CREATE INDEX interruption_without_end ON interruption (down_at) WHERE up_at IS NULL;
CREATE INDEX outage_ended_at ON outage (ended_at) WHERE withdrawn_at IS NULL;
CREATE INDEX outage_began_at ON outage (began_at) WHERE withdrawn_at IS NULL;
