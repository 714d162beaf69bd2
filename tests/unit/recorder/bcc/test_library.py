"""Whether a module called bcc is the compiler."""

from __future__ import annotations

from pathlib import Path

import pytest

from podcorder_agent.recorder.bcc.library import DEBIAN_MODULE, find_bcc
from podcorder_agent.recorder.choice import choose_loader
from podcorder_agent.recorder.errors import BccMissing


def install(directory: Path, *files: str) -> Path:
    (directory / "bcc").mkdir()
    for name in files:
        (directory / "bcc" / name).touch()
    return directory / "bcc" / "__init__.py"


def test_other_project_of_the_name_is_told_from_the_compiler(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What PyPI has under the name is refused in one sentence that says what to install."""
    wrong = install(tmp_path, "__init__.py")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(BccMissing) as caught:
        find_bcc(tmp_path / "absent")
    assert str(caught.value) == (
        f"The Python module bcc in {wrong} is another project, as PyPI's is: "
        "install Debian's python3-bpfcc, or choose --loader core."
    )


def test_missing_module_is_said_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where there is none at all, the sentence names the package too."""
    monkeypatch.setattr("sys.path", [str(tmp_path)])
    with pytest.raises(BccMissing, match="is not installed: install Debian's python3-bpfcc"):
        find_bcc(tmp_path / "absent")


def test_debian_module_comes_before_the_virtual_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The distribution's module is taken by its path, whatever else Python finds under the name."""
    (tmp_path / "venv").mkdir()
    install(tmp_path / "venv", "__init__.py")
    right = install(tmp_path, "__init__.py", "libbcc.py")
    monkeypatch.syspath_prepend(tmp_path / "venv")
    assert find_bcc(right).origin == str(right)


def test_debian_module_is_installed_here() -> None:
    """`make setup` installs it: the tests of the loader would have nothing to run."""
    assert find_bcc().origin == str(DEBIAN_MODULE)


def test_objects_are_the_choice_unless_something_else_is_asked_for() -> None:
    """Nobody pays for a compiler who did not ask for one."""
    assert choose_loader("auto").described() == {"name": "core", "reason": "the kernel describes its types (BTF)"}
    assert choose_loader("core").described() == {"name": "core", "reason": "asked for"}
    assert choose_loader("bcc").described() == {"name": "bcc", "reason": "asked for"}
