"""Where low voltage ends."""

from __future__ import annotations

LOW_VOLTAGE_KV = 1.0
"""IEC 60038. Loads above are bulk customers, not usage points. The zero sequence is solved up to here: phase-to-earth
voltages above are ill-defined without the net's earthing."""
