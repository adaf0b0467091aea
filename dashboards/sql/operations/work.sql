-- What the head-end is still about.
SELECT
    (SELECT count(*) FROM command WHERE finished_at IS NULL) AS open_requests,
    (SELECT count(*) FROM interruption WHERE pending) AS unexplained_reports,
    (SELECT count(*) FROM outage WHERE ended_at IS NULL AND withdrawn_at IS NULL) AS open_outages
