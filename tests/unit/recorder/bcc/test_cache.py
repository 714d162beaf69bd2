"""What is kept of compiled programs, and where not."""

from __future__ import annotations

from pathlib import Path

import pytest

from podcorder_agent.recorder.bcc.cache import find, keep
from podcorder_agent.recorder.bcc.compiler import Compiled, Request

COMPILED = {"files": Compiled(instructions={"one": "00"}, refusals={})}


@pytest.fixture
def request_made(tmp_path: Path) -> Request:
    sources = tmp_path / "sources"
    sources.mkdir()
    (sources / "files.bpf.c").write_text("int x;")
    return Request(sources=str(sources), headers=[], objects={}, constants={}, license="GPL")


def test_answer_is_found_again_for_the_same_question(tmp_path: Path, request_made: Request) -> None:
    """A source that has changed is another question, and what is half written is none's answer."""
    keep(request_made, COMPILED, tmp_path / "kept")
    assert find(request_made, tmp_path / "kept") == COMPILED
    Path(request_made["sources"], "files.bpf.c").write_text("int y;")
    assert find(request_made, tmp_path / "kept") is None
    keep(request_made, COMPILED, tmp_path / "kept")
    for each in (tmp_path / "kept").iterdir():
        each.write_text("{")
    assert find(request_made, tmp_path / "kept") is None


def test_nothing_is_taken_from_a_directory_that_others_write_to(tmp_path: Path, request_made: Request) -> None:
    """Nor from one behind a link."""
    keep(request_made, COMPILED, tmp_path / "kept")
    (tmp_path / "link").symlink_to(tmp_path / "kept")
    assert find(request_made, tmp_path / "link") is None
    (tmp_path / "kept").chmod(0o777)
    assert find(request_made, tmp_path / "kept") is None


def test_only_the_newest_are_kept(tmp_path: Path, request_made: Request) -> None:
    """A node's kernels and versions come and go."""
    for number in range(12):
        keep({**request_made, "constants": {"wakeup_bytes": number}}, COMPILED, tmp_path / "kept")
    assert len(list((tmp_path / "kept").iterdir())) == 8


def test_place_that_cannot_be_written_is_no_error(request_made: Request) -> None:
    """It is compiled again."""
    keep(request_made, COMPILED, Path("/proc/none"))
    assert find(request_made, Path("/proc/none")) is None
