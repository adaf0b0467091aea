"""Dashboards and alert rules as code. Speaks SQL only: see docs/dashboards.md."""
