-- A meter's last known state; a polled meter has none of its own, and counts by its last answered poll elsewhere.
SELECT
    coalesce(sum(reachable), 0) AS reachable,
    coalesce(sum(unreachable), 0) AS unreachable,
    (SELECT count(*) FROM collector WHERE online) AS collectors_online,
    (SELECT count(*) FROM collector WHERE NOT online) AS collectors_offline
FROM reachability
