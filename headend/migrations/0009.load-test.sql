-- What a load test measures while it goes on: client, head-end, database and generator side by side.
CREATE TABLE IF NOT EXISTS load_test_sample (
    run text NOT NULL,
    at timestamptz NOT NULL,
    source text NOT NULL CHECK (source IN ('client', 'head-end', 'database', 'generator')),
    metric text NOT NULL,
    value double precision NOT NULL
);
CREATE INDEX IF NOT EXISTS load_test_sample_at ON load_test_sample (at);
