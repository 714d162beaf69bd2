"""Python's bytecode, compiled beforehand because the images' file systems are read-only."""

from __future__ import annotations

import os
import sys
import tempfile
from fnmatch import fnmatchcase
from pathlib import Path

from images.commands import run
from images.errors import ImageError
from images.recipes import PYTHON
from images.trees import Tree

_PLACES = ("usr/lib/python3", "usr/local/lib/python3")


def compile_sources(tree: Tree, uncompiled: tuple[str, ...]) -> None:
    """Compile each source of the tree, the patterns' apart.

    Unchecked hashes (PEP 552) keep times out of the files; a process of its own with fixed hashes keeps out what
    else may differ between two builds, such as which strings happen to be interned.
    """
    if f"{sys.version_info.major}.{sys.version_info.minor}" != PYTHON:
        raise ImageError(f"The images have Python {PYTHON}, whose bytecode only Python {PYTHON} makes: build with it.")
    sources = [
        (path, data)
        for path, data in tree.files()
        if path.startswith(_PLACES)
        and path.endswith(".py")
        and not any(fnmatchcase(path, pattern) for pattern in uncompiled)
    ]
    with tempfile.TemporaryDirectory() as temporary:
        directory = Path(temporary)
        for path, data in sources:
            (directory / path).parent.mkdir(parents=True, exist_ok=True)
            (directory / path).write_bytes(data)
        # Some packages ship templates and examples for other Pythons: these stay uncompiled.
        run(
            *(sys.executable, "-S", "-m", "compileall", "-qq", "--invalidation-mode", "unchecked-hash"),
            *("-s", temporary, "-p", "/", temporary),
            env={"PATH": os.defpath, "PYTHONHASHSEED": "0"},
        )
        for file in sorted(directory.rglob("*.pyc")):
            tree.add_file(str(file.relative_to(directory)), file.read_bytes())
