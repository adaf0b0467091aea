"""The ACME One, as a device: facts and registers."""
