"""Logs as JSON lines."""

from __future__ import annotations

import json
import subprocess
import sys
from datetime import datetime

SCRIPT = """
import logging, warnings
from podcorder_operator.logs import configure_logs
configure_logs({level!r})
logging.getLogger("podcorder_operator.world").info("Hello %s", "Wörld")
logging.getLogger("kopf.objects").info("chatter", extra={{"k8s_ref": {{"name": "exec"}}}})
logging.getLogger("kopf.objects").warning("trouble", extra={{"k8s_ref": {{"name": "exec"}}}})
try:
    1 / 0
except ZeroDivisionError:
    logging.getLogger("podcorder_operator").exception("Failed\\nbadly.")
warnings.warn("old")
"""


def run(level: str) -> list[dict[str, object]]:
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT.format(level=level)], stderr=subprocess.PIPE, text=True, check=True
    )
    return [json.loads(line) for line in done.stderr.splitlines()]


def test_lines() -> None:
    """Each record is one line: what, when, how grave, of which object, and why it failed."""
    first, second, third, fourth = run("info")
    assert (first["level"], first["logger"], first["message"]) == ("info", "podcorder_operator.world", "Hello Wörld")
    assert datetime.fromisoformat(str(first["time"])).utcoffset() is not None
    assert (second["message"], second["object"]) == ("trouble", {"name": "exec"})
    assert third["message"] == "Failed\nbadly."
    assert "ZeroDivisionError" in str(third["error"])
    assert fourth["logger"] == "py.warnings"


def test_levels() -> None:
    """Below the level nothing is logged, and libraries tell of their steps at debug alone."""
    assert [line["message"] for line in run("error")] == ["Failed\nbadly."]
    assert "chatter" in [line["message"] for line in run("debug")]
