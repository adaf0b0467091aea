"""The two ways in which a run ends without a verdict: the user's fault, and a part's.

Everything else is a programming error and is left to crash with its traceback.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pydantic import ValidationError

EXIT_USER_ERROR = 2
EXIT_PART_FAILED = 3


class UserError(Exception):
    """Something that the user can put right. Shown without a traceback; exit code 2.

    `faults` are complete sentences, one for each fault found; `hint` says what to do about them.
    """

    exit_code = EXIT_USER_ERROR

    def __init__(self, faults: str | Sequence[str], hint: str | None = None) -> None:
        self.faults: tuple[str, ...] = (faults,) if isinstance(faults, str) else tuple(faults)
        if not self.faults:
            raise ValueError("a UserError needs at least one fault")
        self.hint = hint
        super().__init__("\n".join([*self.faults, *([hint] if hint else [])]))


def faults_of(error: ValidationError) -> list[str]:
    """What is wrong with a document, each fault behind the key that it concerns."""
    return [
        f"{'.'.join(map(str, fault['loc'])) or '(top)'}: {fault['msg'].removeprefix('Value error, ')}"
        for fault in error.errors()
    ]


class PartFailed(Exception):  # noqa: N818 - reads as the sentence that it is, in logs and in `except`
    """A process of the lab ended when it should not have, or did what no part of the lab does. Exit code 3.

    `returncode` is that of `subprocess`: negative for a signal. `log_tail` holds the last lines that it wrote. `what`:
    what it did instead of ending, as the end of a sentence that begins with its name.
    """

    exit_code = EXIT_PART_FAILED

    def __init__(
        self, name: str, returncode: int | None, log_tail: Sequence[str] = (), *, what: str | None = None
    ) -> None:
        self.name = name
        self.returncode = returncode
        self.log_tail: tuple[str, ...] = tuple(log_tail)
        super().__init__(
            "\n".join([f"{name} {what or describe_exit(returncode)}", *(f"  | {line}" for line in self.log_tail)])
        )


def describe_exit(returncode: int | None) -> str:
    """How a process ended, as the end of a sentence that begins with its name."""
    if returncode is None:
        return "did not become ready in time"
    if returncode < 0:
        return f"was killed by signal {-returncode}"
    return f"ended with exit code {returncode}"


NO_SPACE = os.strerror(errno.ENOSPC)
SPACE_HINT = (
    "Free some space, or choose another place: --out for the results, TMPDIR for the embedded database and the meters' "
    "memory."
)


@contextmanager
def full_disk_as_user_error() -> Iterator[None]:
    """A full disk, or a quota that is used up, is the user's to put right; other errors pass."""
    try:
        yield
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        where = f" for {error.filename}" if error.filename else ""
        raise UserError(f"no space is left on the disk{where}", SPACE_HINT) from error
