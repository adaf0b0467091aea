"""Output that cannot fail, neither for a character that the terminal does not know nor because nobody reads it.

A run takes hours. Its verdict, and its exit code, must not hang on whether `✓` can be shown in latin-1, or on whether
`head -1` has seen enough.
"""

from __future__ import annotations

import codecs
import errno
import io
import os
import sys
from typing import TextIO, cast

_ERRORS = "amilab-plain"
_PLAIN = {
    "✓": "+", "✗": "x", "×": "x", "→": "->", "…": "...", "–": "-", "—": "-", "−": "-", "≥": ">=", "≤": "<=", "∞": "inf",
    "’": "'", "‘": "'", "“": '"', "”": '"', "•": "*", "·": ".", "�": "?",
}  # fmt: skip
"""What stands for a character where it cannot be shown; for all others it is a question mark."""


def make_output_tolerant() -> None:
    """Let the standard streams of this process show what they can, and be closed by their reader."""
    codecs.register_error(_ERRORS, _plain)
    sys.stdout, sys.stderr = _tolerant(sys.stdout), _tolerant(sys.stderr)


def _plain(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    unknown = error.object[error.start : error.end]
    shown = "".join(_PLAIN.get(character, "?") for character in unknown)
    return shown, error.end


def _tolerant(stream: TextIO) -> TextIO:
    try:
        number = stream.fileno()
    except (OSError, ValueError, AttributeError):
        # Closed from the start, or not a file: such as a test's.
        return stream
    stream.flush()
    return io.TextIOWrapper(
        io.BufferedWriter(cast("io.RawIOBase", _Unread(number, "wb", closefd=False))),
        encoding=stream.encoding,
        errors=_ERRORS,
        line_buffering=True,
    )


class _Unread(io.FileIO):
    """A file that takes what is written even when its reader, or its terminal, has gone."""

    def write(self, data: bytes) -> int:  # type: ignore[override]  # any buffer
        try:
            return super().write(data) or 0
        except OSError as error:
            if error.errno not in (errno.EPIPE, errno.EIO):
                raise
            # Nobody will read it, and nobody is to fail for it: neither this process nor those that it starts.
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, self.fileno())
            os.close(nowhere)
            return len(data)
