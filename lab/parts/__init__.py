"""The parts of a run, each a process that the lab starts and drives over the link (lab/lockstep/link.py).

A part wraps one library object: `grid.simulation.GridSimulation`, `meters.fleet.fleet.Fleet` or
`headend.service.HeadEnd`.
"""
