"""What docs/degraded.md says of a kernel that lacks something is what a person meets."""

from __future__ import annotations

from pathlib import Path

import pytest

from podcorder_agent.recorder.errors import LockedDown, RingBufferMissing, Unable

PAGE = (Path(__file__).parents[3] / "docs/degraded.md").read_text()


@pytest.mark.parametrize("error", [RingBufferMissing(), LockedDown()], ids=lambda each: type(each).__name__)
def test_sentences_are_those_of_the_errors(error: Unable) -> None:
    """Each is quoted word for word, as the command line prints it."""
    assert f"    podcorder: {error}\n" in PAGE


@pytest.mark.parametrize("error", Unable.__subclasses__(), ids=lambda each: each.__name__)
def test_exit_codes_are_those_of_the_errors(error: type[Unable]) -> None:
    """The table of what ends `podcorder record` names each one's code."""
    assert f"ends with {error.exit_code} |" in PAGE
