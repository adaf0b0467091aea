"""`python -m loadtests …`: Locust with this package's users; the arguments are Locust's own."""

from __future__ import annotations

import sys
from pathlib import Path

from locust.main import main


def run() -> None:
    """Does not return: Locust ends the process."""
    sys.argv[1:1] = ["--locustfile", str(Path(__file__).with_name("locustfile.py"))]
    main()  # type: ignore[no-untyped-call]


if __name__ == "__main__":
    run()
