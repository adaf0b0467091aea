"""Structured logs on standard error, quiet unless asked."""

import logging
import sys
from typing import Literal

import structlog


def configure(level: str, form: Literal["json", "console"]) -> None:
    """Send this process's structlog events at or above `level` to standard error, one line each."""
    renderer: structlog.typing.Processor
    if form == "json":
        renderer = structlog.processors.JSONRenderer()
    else:
        renderer = structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty())
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            renderer,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelNamesMapping()[level.upper()]),
        logger_factory=structlog.PrintLoggerFactory(file=sys.stderr),
        cache_logger_on_first_use=False,
    )


def logger() -> structlog.typing.FilteringBoundLogger:
    """The head-end's logger; events carry `component="headend"`."""
    bound: structlog.typing.FilteringBoundLogger = structlog.get_logger(component="headend")
    return bound
