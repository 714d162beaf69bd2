"""What an iterator writes is read as it lays it out."""

from __future__ import annotations

import pytest
from fixtures.layouts import LAYOUT_OBJECTS, Layouts, find_differences

from podcorder_agent.recorder.loaders import IDENTITY


@pytest.mark.parametrize("architecture", LAYOUT_OBJECTS)
def test_identities_are_read_as_the_iterator_writes_them(architecture: str) -> None:
    """Name, offset, size and sign of each field are those of the compiled struct."""
    layouts = Layouts(LAYOUT_OBJECTS[architecture])
    assert not find_differences(layouts.structure("identity"), IDENTITY.format, ("pid", "tgid", "start"))
    assert IDENTITY.size == layouts.size("identity")
