-- Whose readings these are. A lab in containers says it of the run's schema (lab/containers/runs.py), nobody else does.
SELECT
    coalesce(substring(said FROM '"run": "([^"]*)"'), current_schema()) AS run,
    CASE
        WHEN said LIKE '{"by": "amilab run"%"demonstration":%'
            THEN 'real time (speed 1), after 24 hours that were lived through faster'
        WHEN said LIKE '{"by": "amilab run"%' THEN 'that of the run, which the report names'
        ELSE 'that of the head-end'
    END AS pace
FROM (SELECT obj_description(to_regnamespace(quote_ident(current_schema())), 'pg_namespace') AS said) AS comment_on_schema
