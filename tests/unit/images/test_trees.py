"""Layers: their bytes depend on the files alone."""

from __future__ import annotations

import gzip
import io
import tarfile
from random import Random

from hypothesis import given
from hypothesis import strategies as st

from images.trees import Tree

NAMES = st.text("abc", min_size=1, max_size=3)
FILES = st.dictionaries(st.builds("{}/{}.txt".format, NAMES, NAMES), st.binary(max_size=20), min_size=1, max_size=8)


def read_layer(tree: Tree) -> tarfile.TarFile:
    return tarfile.TarFile(fileobj=io.BytesIO(gzip.decompress(tree.make_layer(1).blob)))


@given(FILES, st.randoms())
def test_the_order_of_adding_does_not_matter(files: dict[str, bytes], random: Random) -> None:
    """The same files make the same layer, in whatever order they come."""
    first, second = Tree(), Tree()
    for path, data in files.items():
        first.add_file(path, data)
    shuffled = list(files.items())
    random.shuffle(shuffled)
    for path, data in shuffled:
        second.add_file(path, data)
    assert first.make_layer(1) == second.make_layer(1)


@given(FILES)
def test_a_layer_holds_what_was_added(files: dict[str, bytes]) -> None:
    """Each file is in the layer with its bytes and parents, owned by root, and the size is the sum of them."""
    tree = Tree()
    for path, data in files.items():
        tree.add_file(path, data)
    layer = read_layer(tree)
    members = {member.name: member for member in layer.getmembers()}
    assert {path: layer.extractfile(members[path]).read() for path in files} == files  # type: ignore[union-attr]
    assert all(members[path.split("/")[0]].isdir() for path in files)
    assert {(member.uid, member.gid, member.mtime) for member in members.values()} == {(0, 0, 1)}
    assert tree.make_layer(1).size == sum(map(len, files.values()))


def test_what_is_removed_takes_empty_directories_along() -> None:
    """A directory goes with the last file in it, one that holds more stays, and so does one that was empty before."""
    tree = Tree()
    tree.add_file("usr/share/man/man1/tool.1", b"")
    tree.add_file("usr/share/doc/tool/copyright", b"")
    tree.add_directory("tmp", 0o1777)
    tree.remove(["usr/share/man/*"])
    layer = read_layer(tree)
    assert layer.getnames() == [
        "tmp",
        "usr",
        "usr/share",
        "usr/share/doc",
        "usr/share/doc/tool",
        "usr/share/doc/tool/copyright",
    ]
    assert layer.getmember("tmp").mode == 0o1777
