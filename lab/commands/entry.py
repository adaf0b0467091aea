"""Where the installed command `amilab` begins: while it is loaded, Ctrl-C ends it without a traceback."""

import signal


def main() -> None:
    """Whoever started the command without Ctrl-C (`nohup`, a shell's `&`) keeps it so."""
    wanted = signal.getsignal(signal.SIGINT)
    if wanted is signal.default_int_handler:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    from lab.commands.main import main as command

    signal.signal(signal.SIGINT, wanted)
    command()
