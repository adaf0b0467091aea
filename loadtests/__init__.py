"""Load on a head-end by Locust: users that speak the meters' wires, on a schedule that is known beforehand.

`amilab loadtest` makes the plan, starts Locust and judges; nothing here knows of the lab or of the head-end.
"""
