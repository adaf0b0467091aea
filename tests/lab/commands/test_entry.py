"""Ctrl-C in the second in which the command is still loaded."""

import signal
import subprocess
import sys

INTERRUPTED_WHILE_LOADING = """
import os, signal, sys
signal.signal(signal.SIGINT, signal.{handler})
class Interrupts:
    def find_spec(self, name, *_):
        if name == "typer":
            os.kill(os.getpid(), signal.SIGINT)
sys.meta_path.insert(0, Interrupts())
sys.argv = ["amilab", "version"]
from lab.commands.entry import main
main()
"""


def loaded(handler: str) -> subprocess.CompletedProcess[str]:
    script = INTERRUPTED_WHILE_LOADING.format(handler=handler)
    return subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60)


def test_it_ends_without_a_word() -> None:
    done = loaded("default_int_handler")
    assert (done.returncode, done.stdout, done.stderr) == (-signal.SIGINT, "", "")


def test_who_wants_no_interrupts_has_none() -> None:
    done = loaded("SIG_IGN")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.strip()
