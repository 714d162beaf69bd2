"""The values that the recorder writes into maps are laid out as the compiled programs read them."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from fixtures.layouts import LAYOUT_OBJECTS, Layout, Layouts, find_differences

from podcorder_agent.classes import CLASS_COUNT, REASON_NAMES
from podcorder_agent.control.messages import SLOT_COUNT, SLOT_PENDING
from podcorder_agent.interpreter.logins import read_login
from podcorder_agent.recorder import filters, kernel_maps
from podcorder_agent.recorder.filters import SLOT, compile_settings, filter_of_key
from podcorder_agent.recorder.ladders import LADDERS
from podcorder_agent.recorder.loaders import OBJECTS

MAPS_H = Path(__file__).parents[3] / "bpf/maps.bpf.h"
PORTS = tuple(f"ports[{index}].{part}" for index in range(16) for part in ("first", "last", "verdict"))
SLOT_FIELDS = ("events", "access", "flags", "rate_limit", "port_count", "filter", *PORTS)
STRUCTS = {
    "state": (
        kernel_maps._STATE,
        (
            *("heartbeat", "loaded", "generation", "pending_bytes", "pending_events", "pending_seconds"),
            *("logins", "reserved"),
        ),
    ),
    "selection": (
        kernel_maps._SELECTION,
        ("container_id", "since", "pending_used", "window_start", "window_count", "slot", "flags", "reserved"),
    ),
    "session": (
        kernel_maps._SESSION,
        ("container_id", "session_start", "process_start", "session_root", "flags"),
    ),
    "slot": (SLOT, SLOT_FIELDS),
    "slot_sides": (
        kernel_maps._SIDES,
        ("current", "reserved", *("+".join(f"sides[{side}].{each}" for each in SLOT_FIELDS) for side in range(2))),
    ),
    "counters": (
        kernel_maps._COUNTERS,
        (
            "sequence",
            *(f"generated[{number}]" for number in range(CLASS_COUNT)),
            *(f"lost[{number}][{reason}]" for number in range(CLASS_COUNT) for reason in range(len(REASON_NAMES))),
        ),
    ),
}
"""What the recorder packs and unpacks, and the C fields that it means; `a+b`: two in one."""
FLAGS = {
    "SLOT_HAS_PATHS": filters._HAS_PATHS,
    "SLOT_PATHS_OUT": filters._PATHS_OUT,
    "SLOT_HAS_NETWORKS": filters._HAS_NETWORKS,
    "SLOT_NETWORKS_OUT": filters._NETWORKS_OUT,
    "SLOT_PORTS_OUT": filters._PORTS_OUT,
    "SLOT_SKIPS_OWN": filters._SKIPS_OWN,
    "SLOT_ENDS_EXEC": filters._ENDS["Exec"],
    "SLOT_ENDS_DEBUG": filters._ENDS["Debug"],
    "ACCESS_READ": filters._ACCESS["read"],
    "ACCESS_WRITE": filters._ACCESS["write"],
    "SELECTION_PENDING": kernel_maps._SELECTION_PENDING,
    "SELECTION_EXCLUDED": kernel_maps._SELECTION_EXCLUDED,
    "SELECTION_WATCHED": kernel_maps._SELECTION_WATCHED,
    "SELECTION_RUNTIME": kernel_maps._SELECTION_RUNTIME,
    "SELECTION_OUTSIDE": kernel_maps._SELECTION_OUTSIDE,
    "SELECTION_DEBUG": kernel_maps._SELECTION_DEBUG,
    "SESSION_IGNORE": kernel_maps._SESSION_IGNORE,
}
OWN_MAPS = {"skipped"}
"""Those that no program knows."""


@pytest.fixture(scope="module", params=LAYOUT_OBJECTS)
def layouts(request: pytest.FixtureRequest) -> Layouts:
    """Of each architecture."""
    return Layouts(LAYOUT_OBJECTS[request.param])


def read(value: bytes, layout: Layout) -> dict[str, int]:
    """Each field's number, little-endian."""
    return {
        name: int.from_bytes(value[each.offset : each.offset + each.size], "little") for name, each in layout.items()
    }


@pytest.mark.parametrize(("name", "value"), FLAGS.items())
def test_flags_are_those_of_the_header_file(name: str, value: int) -> None:
    """Flags have the same names and bits; a macro is in no object."""
    bit = re.search(rf"#define {name}\s+\(1 << (\d+)\)", MAPS_H.read_text())
    assert bit is not None
    assert 1 << int(bit[1]) == value


def test_the_pending_slot_is_the_programs_own() -> None:
    """Its number is a macro, as the flags are."""
    number = re.search(r"#define SLOT_PENDING\s+(\d+)", MAPS_H.read_text())
    assert number is not None
    assert int(number[1]) == SLOT_PENDING


def test_logins_stand_where_the_programs_put_them() -> None:
    """Both halves take one number for all logins, and find who and which audit session in it where it was put."""
    text = MAPS_H.read_text()
    bit = re.search(r"#define LOGIN\s+\(1ULL << (\d+)\)", text)
    width = re.search(r"#define LOGIN_SESSION_BITS (\d+)", text)
    assert bit is not None
    assert width is not None
    assert 1 << int(bit[1]) == kernel_maps._LOGIN
    assert read_login(1 << int(bit[1]) | 0xFFFFFFFE << int(width[1]) | 7) == (0xFFFFFFFE, 7)


@pytest.mark.parametrize("name", STRUCTS)
def test_values_are_laid_out_as_the_programs_read_them(layouts: Layouts, name: str) -> None:
    """Name, offset, size and sign of each field are those of the compiled struct, and no field is left out."""
    packed, fields = STRUCTS[name]
    assert not find_differences(layouts.structure(name), packed.format, fields)
    assert packed.size == layouts.size(name)


def test_maps_have_values_of_the_sizes_that_are_checked(layouts: Layouts) -> None:
    """A map that a recorder finds pinned is held to the size that the programs have it with."""
    maps = layouts.maps()
    sizes = {name: each.value for name, each in maps.items() if each.value}
    assert {name: size for name, size in kernel_maps._SIZES.items() if name not in OWN_MAPS} == sizes
    assert {maps[name].key for name in ("state", "counters", "slots", "sessions")} == {4}
    assert {maps[name].key for name in ("cgroups", "roots", "logins")} == {8}
    assert maps["slots"].entries == SLOT_COUNT


def test_every_object_has_the_same_maps(layouts: Layouts) -> None:
    """An object that has a shared map has it, and its struct, as all have it: the first one loaded makes it for all."""
    for each in map(Layouts, (OBJECTS / layouts.path.stem).rglob("*.bpf.o")):
        if each.path.name == "identities.bpf.o":  # an iterator has no maps
            continue
        own = each.maps()
        assert {name: own[name] for name in layouts.maps()} == layouts.maps(), each.path
        for name in (*STRUCTS, "root", "path_key", "network_key"):
            assert each.structure(name) == layouts.structure(name), each.path


def test_settings_come_to_the_fields_they_are_meant_for(layouts: Layouts) -> None:
    """What a slot is to record stands in the field of that name."""
    settings = {
        "events": ["exec", "open"],
        "access": ["write"],
        "rate_limit": 50,
        "ports": [{"first": 80, "last": 90, "verdict": "exclude"}],
        "own_session": False,
    }
    slot = read(compile_settings(7, settings).slot, layouts.structure("slot"))
    assert {name: value for name, value in slot.items() if value} == {
        "events": 1 << 0 | 1 << 4,
        "access": 2,
        "flags": 1 << 5,
        "rate_limit": 50,
        "port_count": 1,
        "filter": 7,
        "ports[0].first": 80,
        "ports[0].last": 90,
        "ports[0].verdict": layouts.enumeration("verdict")["VERDICT_EXCLUDE"],
    }


def test_keys_of_the_tries_are_laid_out_as_the_programs_look_them_up(layouts: Layouts) -> None:
    """The number of bits, the filter in big-endian, and a path or an address."""
    settings = {
        "paths": [{"prefix": "/etc", "verdict": "include"}],
        "networks": [{"cidr": "fd00::/8", "verdict": "include"}],
    }
    compiled = compile_settings(0x01020304, settings)
    for struct_name, field, entries, data in (
        ("path_key", "path", compiled.paths, b"/etc/"),
        ("network_key", "address", compiled.networks, b"\xfd"),
    ):
        layout = layouts.structure(struct_name)
        assert list(layout) == ["prefix_bits", "filter", field]
        ((key, value),) = entries.items()
        assert len(key) == layouts.size(struct_name)
        parts = read(key, layout)
        assert parts["prefix_bits"] == 8 * (layout["filter"].size + len(data))
        assert parts["filter"] == int.from_bytes(bytes((1, 2, 3, 4)), "little")
        assert filter_of_key(key) == 0x01020304
        begin = layout[field].offset
        assert key[begin:].rstrip(b"\0") == data
        assert layout[field].size == len(key) - begin
        assert int.from_bytes(value, "little") == layouts.enumeration("verdict")["VERDICT_INCLUDE"]


def test_handlers_stand_where_the_dispatcher_calls_them(layouts: Layouts) -> None:
    """A rung's handlers have numbers of `enum syscall_handler`, one program each."""
    numbers = layouts.enumeration("syscall_handler")
    handlers = {number: name for each in LADDERS for rung in each.rungs for number, name in rung.handlers.items()}
    assert handlers == {
        numbers["HANDLER_EXEC"]: "record_exec_failed",
        numbers["HANDLER_OPEN"]: "record_open",
        numbers["HANDLER_ACCEPT"]: "record_accept_call",
        numbers["HANDLER_CONNECT"]: "record_connect_call",
    }
    assert max(handlers) < numbers["HANDLER_COUNT"]
