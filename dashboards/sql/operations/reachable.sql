-- A meter's last known state; a polled meter has none of its own, and counts by its last answered poll elsewhere.
SELECT
    count(*) FILTER (WHERE s.online) AS reachable,
    count(*) FILTER (WHERE NOT s.online) AS unreachable,
    (SELECT count(*) FROM collector WHERE online) AS collectors_online,
    (SELECT count(*) FROM collector WHERE NOT online) AS collectors_offline
FROM device_state s
