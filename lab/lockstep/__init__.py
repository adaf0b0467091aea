"""Simulated time: grants, quiescence, and the link to the parts."""
