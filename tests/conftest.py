"""What all tests share."""

from hypothesis import HealthCheck, settings

# No test may depend on how fast the machine is, so neither on how long one example takes.
settings.register_profile("amilab", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("amilab")
