-- What became of each poll: whoever answers that it has no such register is no dead meter.

-- A boundary at which a meter was asked, with all repetitions, and did not show its registers. noted_at: the head-end's
-- clock. outcome: the name of the Modbus exception that it answered (exception_code; illegal_data_address,
-- gateway_target_failed …), no_answer, no_connection (of its gateway), not_asked (its gateway fell silent before its
-- turn), or why its answer could not be used (bad_value …).
CREATE TABLE poll_failure (
    meter_id integer NOT NULL,
    boundary timestamptz NOT NULL,
    outcome text NOT NULL,
    exception_code smallint,
    noted_at timestamptz NOT NULL,
    PRIMARY KEY (meter_id, boundary)
);

-- Rows come in the order of time: so a few pages of summary find a range of all meters.
CREATE INDEX poll_failure_boundary ON poll_failure USING brin (boundary) WITH (pages_per_range = 32, autosummarize = on);
CREATE INDEX register_reading_boundary ON register_reading USING brin (boundary)
    WITH (pages_per_range = 32, autosummarize = on);

-- One row for each meter and boundary that the head-end was there for. It holds no register: no household's figures.
CREATE VIEW poll_outcome AS
SELECT meter_id, boundary, 'answered' AS outcome, NULL::smallint AS exception_code, read_at AS noted_at
FROM register_reading
UNION ALL
SELECT meter_id, boundary, outcome, exception_code, noted_at
FROM poll_failure;
