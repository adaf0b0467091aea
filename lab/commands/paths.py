"""Paths as the terminal shows them."""

from __future__ import annotations

import os
from pathlib import Path


def shown_path(path: Path) -> str:
    """As short as it can be from here."""
    return os.path.relpath(path) if path.is_relative_to(Path.cwd()) else str(path)
