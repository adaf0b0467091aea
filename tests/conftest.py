"""What all tests share."""

import os
import shutil
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from tests import left_out

# No test may depend on how fast the machine is, so neither on how long one example takes.
settings.register_profile("amilab", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("amilab")

# Debian installs servers where an ordinary user's PATH does not look.
os.environ["PATH"] = os.pathsep.join([os.environ.get("PATH", os.defpath), "/usr/sbin", "/usr/local/sbin"])

# Processes of ours import nothing from the current directory (lab/processes/interpreter.py): tests' parts are found
# by this.
ROOT = str(Path(__file__).parents[1])
os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [ROOT, os.environ.get("PYTHONPATH")]))


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Without mosquitto its tests are left out, except in CI, where it has to be there.

    The lab itself then runs on the broker from a wheel, and so do the tests that take any broker.
    """
    if shutil.which("mosquitto") or "CI" in os.environ:
        return
    absent = pytest.mark.skip(reason=left_out.reason(*left_out.MOSQUITTO))
    for item in items:
        callspec = getattr(item, "callspec", None)
        chosen = callspec.params.values() if callspec is not None else ()
        if "mosquitto" in getattr(item, "fixturenames", ()) or "mosquitto" in chosen:
            item.add_marker(absent)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """What was left out, a line for each thing that this machine lacks, where nobody overlooks it."""
    skipped = terminalreporter.stats.get("skipped", [])
    reasons = [report.longrepr[2] for report in skipped if isinstance(report.longrepr, tuple)]
    for line in left_out.lines(reasons):
        terminalreporter.write_line(line, yellow=True)
