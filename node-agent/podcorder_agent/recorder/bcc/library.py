"""bcc's Python module, which Debian installs outside of any virtual environment."""

from __future__ import annotations

import importlib.util
import sys
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType

from podcorder_agent.recorder.errors import BccMissing

DEBIAN_MODULE = Path("/usr/lib/python3/dist-packages/bcc/__init__.py")
_OWN_PART = "libbcc.py"
"""Lies beside the compiler's __init__.py, and in no other project of the name."""
_REMEDY = "install Debian's python3-bpfcc, or choose --loader core"


def find_bcc(path: Path = DEBIAN_MODULE) -> ModuleSpec:
    """Where python3-bpfcc's module is, else what Python finds as `bcc`; raises BccMissing."""
    if path.exists():
        spec = importlib.util.spec_from_file_location("bcc", path, submodule_search_locations=[str(path.parent)])
    else:
        spec = importlib.util.find_spec("bcc")
    if spec is None or spec.origin is None or spec.loader is None:
        raise BccMissing(f"The Python module bcc is not installed: {_REMEDY}.")
    if not Path(spec.origin).with_name(_OWN_PART).exists():
        raise BccMissing(f"The Python module bcc in {spec.origin} is another project, as PyPI's is: {_REMEDY}.")
    return spec


def import_bcc(path: Path = DEBIAN_MODULE) -> ModuleType:
    """Raises BccMissing, also where its library cannot be loaded."""
    spec = find_bcc(path)
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["bcc"] = module  # its own parts import each other by that name
    try:
        spec.loader.exec_module(module)
    except (ImportError, OSError) as error:
        del sys.modules["bcc"]
        raise BccMissing(f"bcc cannot be loaded ({error}): {_REMEDY}.") from None
    return module
