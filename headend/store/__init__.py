"""The database: its connection, schema and upkeep, and what is written into it."""
