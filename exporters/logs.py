"""Structured logs: for a person on a terminal, JSON lines elsewhere. Constant messages, facts as keys."""

from __future__ import annotations

import logging
import sys
from typing import Literal

import structlog

Format = Literal["auto", "console", "json"]


def configure(log_format: Format = "auto", level: int = logging.INFO) -> None:
    """Send every log line to stderr, in the format that fits who reads it."""
    person = log_format == "console" or (log_format == "auto" and sys.stderr.isatty())
    plain = structlog.dev.plain_traceback  # a traceback with local variables could print a secret
    renderer = (
        structlog.dev.ConsoleRenderer(pad_event_to=0, exception_formatter=plain)
        if person
        else structlog.processors.JSONRenderer()
    )
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="%H:%M:%S" if person else "iso", utc=not person),
            structlog.processors.format_exc_info,
            renderer,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        cache_logger_on_first_use=True,
    )
