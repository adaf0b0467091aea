"""Code that whoever restores a dump would run: a superuser, who must run nobody else's.

`COPY` evaluates a table's checks, generated columns and partition keys, and its domains' checks, as who copies; a
foreign key evaluates casts. Of those who are no superusers, such expressions may call pure functions alone, of the
server or an extension. Others run SQL that stands in a text (`query_to_xml`), and so say nothing of what they call.
Triggers and indices need no look: the first come after the data, and the second are made as the table's owner.
"""

from __future__ import annotations

from typing import Any

import psycopg

_PLANTED = r"""
WITH expression AS (
    SELECT 'pg_constraint'::regclass AS class, oid, 0 AS column_number, conbin::text AS tree,
        coalesce(relowner, typowner) AS owner
    FROM pg_constraint
    LEFT JOIN (SELECT oid AS relid, relowner FROM pg_class) c ON relid = conrelid
    LEFT JOIN (SELECT oid AS typid, typowner FROM pg_type) t ON typid = contypid
    WHERE conbin IS NOT NULL
    UNION ALL
    SELECT 'pg_class'::regclass, adrelid, adnum, adbin::text, relowner
    FROM pg_attrdef JOIN pg_attribute ON attrelid = adrelid AND attnum = adnum JOIN pg_class c ON c.oid = adrelid
    WHERE attgenerated <> ''
    UNION ALL
    SELECT 'pg_class'::regclass, partrelid, 0, partexprs::text, relowner
    FROM pg_partitioned_table JOIN pg_class c ON c.oid = partrelid WHERE partexprs IS NOT NULL
),
called AS (
    SELECT class, e.oid, column_number, owner, found[1]::oid AS function
    FROM expression e, regexp_matches(tree, ':\w*funcid (\d+)', 'g') AS found
    UNION ALL
    SELECT 'pg_cast'::regclass, oid, 0, (SELECT proowner FROM pg_proc WHERE oid = castfunc), castfunc
    FROM pg_cast WHERE castfunc >= 16384
)
SELECT DISTINCT pg_describe_object(class, called.oid, column_number), function::regprocedure::text
FROM called JOIN pg_roles r ON r.oid = owner JOIN pg_proc p ON p.oid = function
WHERE NOT rolsuper AND (
    provolatile <> 'i' OR p.oid >= 16384 AND NOT EXISTS (
        SELECT FROM pg_depend WHERE classid = 'pg_proc'::regclass AND objid = p.oid AND deptype = 'e'
    )
)
ORDER BY 1, 2
"""
"""The first number of what is not the server's own is 16384 (FirstNormalObjectId)."""


def planted_code(connection: psycopg.Connection[Any]) -> list[str]:
    """Each expression that a restoration would evaluate, and what it calls that is not pure.

    :param connection: in the transaction whose snapshot is dumped. What is planted after it is not in the dump.
    """
    return [f"{what} calls {function}" for what, function in connection.execute(_PLANTED)]
