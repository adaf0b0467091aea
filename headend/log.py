"""Structured logs on standard error, quiet unless asked. Leaves structlog's global configuration alone."""

import logging
import sys
from typing import Literal

import structlog

_level = logging.WARNING
_form: Literal["json", "console"] = "json"


def configure(level: str, form: Literal["json", "console"]) -> None:
    """From now on log at or above `level`, one line an event."""
    global _level, _form
    _level, _form = logging.getLevelNamesMapping()[level.upper()], form


def logger() -> structlog.typing.FilteringBoundLogger:
    """The head-end's logger."""
    renderer: structlog.typing.Processor
    if _form == "json":
        renderer = structlog.processors.JSONRenderer()
    else:
        renderer = structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty())
    bound: structlog.typing.FilteringBoundLogger = structlog.wrap_logger(
        structlog.PrintLogger(sys.stderr),
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            renderer,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(_level),
        component="headend",
    )
    return bound
