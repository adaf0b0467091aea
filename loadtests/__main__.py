"""`python -m loadtests …`: Locust with this package's users; the arguments are Locust's own."""

from __future__ import annotations

import os
import resource
import sys
from pathlib import Path

from locust.main import main


def run() -> None:
    """Does not return: Locust ends the process."""
    os.umask(0o077)
    # A connection is a file: as many as the system lets us have.
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    sys.argv[1:1] = ["--locustfile", str(Path(__file__).with_name("locustfile.py"))]
    main()  # type: ignore[no-untyped-call]


if __name__ == "__main__":
    run()
