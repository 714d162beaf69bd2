"""The compiler in its child, with the running kernel's types."""

from __future__ import annotations

import json
import os
import re
import resource
import shutil
import struct
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from podcorder_agent.recorder import libbpf
from podcorder_agent.recorder.bcc.compiler import Request
from podcorder_agent.recorder.bcc.kernel_types import VOID, KernelTypes
from podcorder_agent.recorder.bcc.loader import BccLoader, make_request
from podcorder_agent.recorder.bcc.sources import SOURCES
from podcorder_agent.recorder.ladders import CONTAINERS, FILES
from podcorder_agent.recorder.loaders import ARCHITECTURES, OBJECTS, RungRefused, prepare
from podcorder_agent.recorder.privileges import drop_privileges

CALL = 0x85
LOAD_64 = 0x18
MAP = 1
"""In the source register of LOAD_64: the number is a map's descriptor (BPF_PSEUDO_MAP_FD)."""
PROBE_READ_OF_ANY_ADDRESS = {4, 45}
"""bpf_probe_read, bpf_probe_read_str: some kernels have none, and on some an address alone does not say whose it is."""


@pytest.fixture(scope="module")
def types() -> KernelTypes:
    return KernelTypes()


@pytest.fixture
def request_made() -> Iterator[Request]:
    """To compile a program of the object `containers`, whose maps exist meanwhile."""
    with libbpf.Object(OBJECTS / ARCHITECTURES[os.uname().machine] / "containers.bpf.o") as opened:
        prepare(opened, set(), None, 4096)
        opened.load()
        yield make_request(SOURCES, "containers", ["record_cgroup_mkdir"], opened, 4096)


def run_compiler(wanted: Request) -> subprocess.CompletedProcess[str]:
    """With no privileges beyond a recorder's."""
    command = [sys.executable, "-m", "podcorder_agent.recorder.bcc"]
    return subprocess.run(
        command, input=json.dumps(wanted), text=True, capture_output=True, preexec_fn=drop_privileges, check=False
    )


def test_places_come_from_the_running_kernel(types: KernelTypes) -> None:
    """Through members without a name; what is not there, or only bits wide, has no place."""
    assert types.size_of("in6_addr") == 16
    assert types.offset_of("sock_common", "skc_daddr") == 0
    assert types.offset_of("sock_common", "skc_rcv_saddr") == 4
    assert types.offset_of("task_struct", "no_such_field") is None
    assert types.offset_of("task_struct", "sched_reset_on_fork") is None
    assert types.size_of("no_such_structure") is None
    assert types.offset_of("no_such_structure", "pid") is None


def test_tracepoints_tell_what_they_hand_over(types: KernelTypes) -> None:
    """By argument; what is no pointer to a structure has no name."""
    assert types.pointees("sched_process_exec") == ["task_struct", "", "linux_binprm"]
    assert types.pointees("no_such_tracepoint") is None
    assert set(types.pointees("io_uring_complete") or []) >= {"io_ring_ctx", VOID}
    assert types.has_helper("get_current_task")
    assert not types.has_helper("no_such_helper")


def test_instructions_name_the_maps_and_read_by_the_exact_helpers(request_made: Request) -> None:
    """A recorder sees no addresses in /proc/kallsyms, by which bcc takes its kernel for an old one."""
    done = run_compiler(request_made)
    assert not done.returncode, done.stderr
    code = bytes.fromhex(json.loads(done.stdout)["record_cgroup_mkdir"])
    instructions = [(each[0], each[1], each[3]) for each in struct.iter_unpack("=BBhI", code)]
    called = {number for operation, _, number in instructions if operation == CALL}
    assert called
    assert not called & PROBE_READ_OF_ANY_ADDRESS
    used = {number for operation, registers, number in instructions if operation == LOAD_64 and registers >> 4 == MAP}
    assert used == {
        request_made["maps"][name]["fd"] for name in ("lifecycle", "state", "counters", "cgroups", "cgroup_scratch")
    }


def test_map_of_another_layout_is_refused(request_made: Request) -> None:
    """A source whose structure has grown does not write past the entries that were made."""
    request_made["maps"]["state"]["value_bytes"] -= 8
    done = run_compiler(request_made)
    assert done.returncode == 1
    assert "the map state was made for entries of other sizes" in done.stderr


def test_memory_goes_with_the_child() -> None:
    """The compiler's does not stay in the process that loads."""
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    BccLoader().try_rung(CONTAINERS.rungs[0])
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 16 * 1024
    assert resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss > 64 * 1024


def test_rung_at_a_functions_exit_is_refused() -> None:
    """Such a program is the kernel's types' alone; the next rung does without."""
    with pytest.raises(RungRefused, match="record_handle_open is for fexit"):
        BccLoader().try_rung(FILES.rungs[0])


def test_tracepoint_that_hands_over_something_else_is_refused(tmp_path: Path) -> None:
    """The verifier takes a raw tracepoint's arguments for numbers: what they are is held against the kernel's types."""
    sources = tmp_path / "sources"
    shutil.copytree(SOURCES, sources)
    containers = sources / "containers.bpf.c"
    text = containers.read_text().replace("record_cgroup_rmdir, struct cgroup *", "record_cgroup_rmdir, struct file *")
    containers.write_text(text)
    with pytest.raises(RungRefused, match="the tracepoint cgroup_rmdir hands over no struct file here"):
        BccLoader(sources=sources).try_rung(CONTAINERS.rungs[0])


def test_field_that_this_kernel_lacks_is_named(tmp_path: Path) -> None:
    """A program that reads it is refused, by its instructions: the verifier would take any place for a place."""
    sources = tmp_path / "sources"
    shutil.copytree(SOURCES, sources)
    for path in sources.iterdir():
        path.write_text(re.sub(r"\bkn\b", "gone", path.read_text()))
    with pytest.raises(RungRefused, match=r"this kernel has no cgroup\.gone, which record_cgroup_mkdir needs"):
        BccLoader(sources=sources).try_rung(CONTAINERS.rungs[0])


def test_verifiers_own_word_is_the_reason(tmp_path: Path) -> None:
    """A program that compiles and is not safe is refused as an object's would be."""
    sources = tmp_path / "sources"
    shutil.copytree(SOURCES, sources)
    containers = sources / "containers.bpf.c"
    unsafe = "return *(int *)cgroup;"
    containers.write_text(containers.read_text().replace("return record_cgroup(cgroup, path, false);", unsafe))
    with pytest.raises(RungRefused, match=r"^record_cgroup_mkdir: R\d invalid mem access 'scalar'$"):
        BccLoader(sources=sources).try_rung(CONTAINERS.rungs[0])
