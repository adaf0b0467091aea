"""One scenario with many seeds and fleets: which of them pass."""
