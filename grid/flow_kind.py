"""Which power flow a run has. Light to import: scenarios are read without a power-flow library."""

from __future__ import annotations

from typing import Literal

FlowKind = Literal["three-phase", "balanced"]
"""`three-phase`: each phase by itself, coupled by the neutral. `balanced`: the mean of the phases, as one."""
