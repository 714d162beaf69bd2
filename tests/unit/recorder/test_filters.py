"""What a slot's settings become in the kernel's maps."""

from __future__ import annotations

import pytest

from podcorder_agent.control.messages import MessageError
from podcorder_agent.recorder.filters import SLOT, compile_pending, compile_settings, filter_of_key, slot_needs


def test_path_ends_with_a_slash() -> None:
    """A prefix is stored with its trailing slash, so that /etc never covers /etcetera."""
    keys = compile_settings(
        3, {"paths": [{"prefix": "/etc", "verdict": "include"}, {"prefix": "/", "verdict": "exclude"}]}
    )
    etc, root = keys.paths
    assert etc[8:].rstrip(b"\0") == b"/etc/"
    assert int.from_bytes(etc[:4], "little") == 32 + 8 * 5
    assert root[8:].rstrip(b"\0") == b"/"
    assert (filter_of_key(etc), len(etc), keys.paths[etc], keys.paths[root]) == (3, 256, b"\1\0\0\0", b"\2\0\0\0")


@pytest.mark.parametrize(
    ("cidr", "bits", "address"),
    [
        ("10.1.2.3/8", 96 + 8, b"\0" * 10 + b"\xff\xff\x0a\0\0\0"),
        ("10.1.2.3", 96 + 32, b"\0" * 10 + b"\xff\xff\x0a\1\2\3"),
        ("0.0.0.0/0", 96, b"\0" * 10 + b"\xff\xff\0\0\0\0"),
        ("fd00::1/8", 8, b"\xfd" + b"\0" * 15),
        ("::/0", 0, b"\0" * 16),
    ],
)
def test_network_is_a_prefix_of_a_mapped_address(cidr: str, bits: int, address: bytes) -> None:
    """IPv4 networks stand behind ::ffff:0:0/96, and bits behind the prefix are zero."""
    (key,) = compile_settings(1, {"networks": [{"cidr": cidr, "verdict": "include"}]}).networks
    assert int.from_bytes(key[:4], "little") == 32 + bits
    assert key[8:] == address


@pytest.mark.parametrize("cidr", ["10.0.0.0/33", "::/129", "10.0.0.0/", "10.0.0/8", "nonsense", "10.0.0.0/-1", "\0"])
def test_bad_network_is_named(cidr: str) -> None:
    """What is no network is refused with its own text."""
    with pytest.raises(MessageError, match="is not a network"):
        compile_settings(0, {"networks": [{"cidr": cidr, "verdict": "include"}]})


@pytest.mark.parametrize(
    ("settings", "flags"),
    [
        ({}, 0),
        ({"paths": [{"prefix": "/a", "verdict": "exclude"}]}, 1),
        ({"paths": [{"prefix": "/a", "verdict": "exclude"}, {"prefix": "/b", "verdict": "include"}]}, 1 | 2),
        ({"networks": [{"cidr": "::/0", "verdict": "exclude"}]}, 4),
        ({"networks": [{"cidr": "::/0", "verdict": "include"}]}, 4 | 8),
        ({"ports": [{"first": 1, "last": 2, "verdict": "exclude"}]}, 0),
        ({"ports": [{"first": 1, "last": 2, "verdict": "include"}]}, 16),
    ],
)
def test_any_include_turns_the_default(settings: dict[str, object], flags: int) -> None:
    """A list with an include leaves out what matches nothing; a list without lets it through."""
    assert SLOT.unpack(compile_settings(0, settings).slot)[2] == flags


def test_slot_without_access_takes_both() -> None:
    """Nothing said about access means reads and writes."""
    assert SLOT.unpack(compile_settings(0, {"events": ["open"]}).slot)[:2] == (1 << 4, 3)
    assert SLOT.unpack(compile_settings(0, {"access": ["write"]}).slot)[1] == 2


def test_pending_slot_has_no_filters() -> None:
    """What is held is held whole: filters come with the selection."""
    value = compile_pending(0b101)
    assert slot_needs(value) == 0b101
    assert not any(SLOT.unpack(value)[2:])


def test_no_settings_clear_the_slot() -> None:
    """A slot set to nothing wants nothing and leaves no entry behind."""
    cleared = compile_settings(5, None)
    assert not any(cleared.slot)
    assert not cleared.paths
    assert not cleared.networks
