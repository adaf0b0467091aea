"""Options that hold a password, given so that `ps` does not show it.

What stands in a command line, every user of the machine can read. So an option that may hold a password can come from
an environment variable as well, or be `@FILE`: what the file says. The variable's value may be `@FILE`, too.
"""

from __future__ import annotations

from pathlib import Path

from lab.errors import UserError

AT_FILE = "@FILE: as that file says."
_MARK = "@"
_MOST_BYTES = 64 << 10


def disclosed(option: str, value: str | None) -> str | None:
    """The value of an option, or what the file says that it names.

    :param option: what to call it in a message, for instance "--database-url".
    :raises UserError: there is no such file, or it cannot be an option's value. What it says is not repeated.
    """
    if value is None or not value.startswith(_MARK):
        return value
    path = Path(value.removeprefix(_MARK))
    hint = f"{option} {_MARK}FILE takes what FILE says: one line, for instance from `install -m 600 /dev/stdin FILE`."
    try:
        with path.open("rb") as file:  # /dev/stdin and pipes will do
            raw = file.read(_MOST_BYTES + 1)
    except OSError as error:
        raise UserError(f"{option}: {path} cannot be read: {error.strerror}", hint) from None
    if len(raw) > _MOST_BYTES:
        raise UserError(f"{option}: {path} is longer than {_MOST_BYTES // 1024} KiB", hint)
    try:
        text = raw.decode().strip()
    except UnicodeDecodeError:
        raise UserError(f"{option}: {path} is no text in UTF-8", hint) from None
    if not text:
        raise UserError(f"{option}: {path} is empty", hint)
    if not text.isprintable():
        raise UserError(f"{option}: {path} has more than one line, or a control character", hint)
    return text
