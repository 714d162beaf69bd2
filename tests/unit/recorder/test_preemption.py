"""Whether the running kernel preempts its own code."""

from __future__ import annotations

from pathlib import Path

import pytest

from podcorder_agent.recorder.preemption import preemption_model

DYNAMIC = "#1 SMP PREEMPT_DYNAMIC Debian 6.1.192-2"


@pytest.mark.parametrize(
    ("version", "model"),
    [("#1 SMP Debian", "none"), ("#1 SMP PREEMPT Fri", "full"), ("#1 SMP PREEMPT_RT Fri", "full")],
)
def test_what_is_built_in_is_read_from_the_version(version: str, model: str, tmp_path: Path) -> None:
    """A kernel without dynamic preemption says all in its version."""
    assert preemption_model(version, tmp_path / "absent", tmp_path / "absent") == model


@pytest.mark.parametrize(
    ("text", "model"),
    [
        ("none (voluntary) full \n", "voluntary"),
        ("none voluntary (full) lazy\n", "full"),
        ("none full (lazy)\n", "lazy"),
    ],
)
def test_dynamic_one_is_read_from_debugfs(text: str, model: str, tmp_path: Path) -> None:
    """The model in force is the one in parentheses, whatever the command line asked for."""
    (tmp_path / "preempt").write_text(text)
    (tmp_path / "cmdline").write_text("quiet preempt=none")
    assert preemption_model(DYNAMIC, tmp_path / "preempt", tmp_path / "cmdline") == model


@pytest.mark.parametrize(
    ("text", "model"), [("ro preempt=full quiet preempt=voluntary\n", "voluntary"), ("ro quiet\n", "unknown")]
)
def test_without_debugfs_the_command_line_decides(text: str, model: str, tmp_path: Path) -> None:
    """The last word on the command line counts; without any the model is not known, and not guessed."""
    (tmp_path / "cmdline").write_text(text)
    assert preemption_model(DYNAMIC, tmp_path / "absent", tmp_path / "cmdline") == model
