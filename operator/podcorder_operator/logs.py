"""Structured logs: one JSON object a line on standard error."""

from __future__ import annotations

import json
import logging
import sys
from datetime import UTC, datetime

_QUIET = ("aiohttp.access", "asyncio", "kopf", "kubernetes", "opentelemetry")
"""Libraries that tell of each step at the level info; of them only warnings are heard, and all at debug."""


class JsonFormatter(logging.Formatter):
    """time, level, logger and message; error, with its traceback, and object where there are any."""

    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, object] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        if record.exc_info:
            line["error"] = self.formatException(record.exc_info)
        if (reference := getattr(record, "k8s_ref", None)) is not None:  # how kopf names the object
            line["object"] = reference
        return json.dumps(line, ensure_ascii=False, default=str)


def configure_logs(level: str) -> None:
    """`level`: debug, info, warning or error."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonFormatter())
    logging.basicConfig(level=level.upper(), handlers=[handler], force=True)
    logging.captureWarnings(True)
    if level == "info":
        for name in _QUIET:
            logging.getLogger(name).setLevel(logging.WARNING)
