"""How processes of ours are started that run Python."""

from __future__ import annotations

import sys


def python(*arguments: str) -> list[str]:
    """A command line of this interpreter that imports nothing from where the user happens to be.

    Without ``-P`` a file ``json.py`` in the current directory would be taken for the library's.
    """
    return [sys.executable, "-P", *arguments]
