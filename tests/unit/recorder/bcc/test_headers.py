"""Which kernel headers are taken, and which are not."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from podcorder_agent.recorder.bcc.header_types import find_pointees
from podcorder_agent.recorder.bcc.headers import VARIABLE, Headers, find_headers
from podcorder_agent.recorder.errors import HeadersMissing

RELEASE = os.uname().release
EVENTS = """
TRACE_EVENT(one,

	TP_PROTO(struct task_struct *p, pid_t old, const struct linux_binprm *bprm),

	TP_ARGS(p, old, bprm),
);
DEFINE_EVENT(pair, two,
	TP_PROTO(void *ctx, u64 data, union any *each, const char *name),
	TP_ARGS(ctx, data, each, name)
);
TRACE_EVENT_FN(three, TP_PROTO(struct pt_regs *regs, long ret), TP_ARGS(regs, ret), begin, end);
"""


@pytest.fixture(autouse=True)
def unset(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(VARIABLE, raising=False)


def make_tree(built: Path, source: Path, release: str = RELEASE, settings: str = "") -> None:
    for path, text in (
        (built / "include/generated/utsrelease.h", f'#define UTS_RELEASE "{release}"\n'),
        (built / "include/generated/autoconf.h", settings),
        (source / "include/linux/kconfig.h", ""),
    ):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


def test_headers_are_where_distributions_put_them(tmp_path: Path) -> None:
    """One tree or two, behind links."""
    modules = tmp_path / "modules" / RELEASE
    modules.mkdir(parents=True)
    make_tree(tmp_path / "built", tmp_path / "common")
    (modules / "build").symlink_to(tmp_path / "built")
    (modules / "source").symlink_to(tmp_path / "common")
    assert find_headers(tmp_path / "modules") == Headers(tmp_path / "built", tmp_path / "common")
    (modules / "source").unlink()
    make_tree(tmp_path / "built", tmp_path / "built")
    assert find_headers(tmp_path / "modules") == Headers(tmp_path / "built", tmp_path / "built")


def test_variable_names_another_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As bcc's own tools take it."""
    make_tree(tmp_path, tmp_path)
    monkeypatch.setenv(VARIABLE, str(tmp_path))
    assert find_headers(Path("/nonexistent")) == Headers(tmp_path, tmp_path)


@pytest.mark.parametrize(
    ("release", "settings", "sentence"),
    [
        ("5.4.0-other", "", r"are of Linux 5\.4\.0-other, and this is"),
        (RELEASE, "#define CONFIG_RANDSTRUCT 1\n", "structures in random order"),
        (RELEASE, "#define CONFIG_GCC_PLUGIN_RANDSTRUCT 1\n", "structures in random order"),
    ],
)
def test_headers_that_would_lie_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, release: str, settings: str, sentence: str
) -> None:
    """Those of another kernel, and those that do not say in which order a structure's fields are."""
    make_tree(tmp_path, tmp_path, release, settings)
    monkeypatch.setenv(VARIABLE, str(tmp_path))
    with pytest.raises(HeadersMissing, match=sentence):
        find_headers()


def test_missing_headers_name_their_package(tmp_path: Path) -> None:
    """And the variable by which others are named."""
    with pytest.raises(HeadersMissing, match=rf"install them \(Debian: linux-headers-{RELEASE}\).*{VARIABLE}"):
        find_headers(tmp_path)


def test_tracepoints_arguments_are_read_from_their_declarations(tmp_path: Path) -> None:
    """Whichever macro declares them; what is no pointer to a structure has no name."""
    (tmp_path / "some.h").write_text(EVENTS)
    assert find_pointees(tmp_path, "one") == ["task_struct", "", "linux_binprm"]
    assert find_pointees(tmp_path, "two") == ["void", "", "any", ""]
    assert find_pointees(tmp_path, "three") == ["pt_regs", ""]
    assert find_pointees(tmp_path, "pair") is None
