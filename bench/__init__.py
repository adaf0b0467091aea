"""Measurements. Ratios taken in one run count; absolute figures are those of the machine at that moment."""
