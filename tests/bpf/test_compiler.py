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
from pathlib import Path

import pytest

from podcorder_agent.recorder.bcc.compiler import Compiled, Request
from podcorder_agent.recorder.bcc.loader import BccLoader
from podcorder_agent.recorder.bcc.processes import list_processes
from podcorder_agent.recorder.hooks import SOURCES
from podcorder_agent.recorder.kernel_types import VOID, KernelTypes
from podcorder_agent.recorder.ladders import CONTAINERS, FILES
from podcorder_agent.recorder.loaders import IDENTITY, CoreLoader, RungRefused
from podcorder_agent.recorder.privileges import drop_privileges

OTHERS = {path.name for path in SOURCES.glob("*.bpf.c")} - {"containers.bpf.c"}
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
def wanted() -> Request:
    """To compile a program of the object `containers`."""
    made = BccLoader().make_request(4096)
    made["objects"] = {"containers": made["objects"]["containers"]}
    made["objects"]["containers"]["programs"] = ["record_cgroup_mkdir"]
    return made


@pytest.fixture
def sources(tmp_path: Path) -> Path:
    """A copy of the headers and of one object's source, to be changed."""
    return Path(shutil.copytree(SOURCES, tmp_path / "sources", ignore=lambda _, names: set(names) & OTHERS))


def run_compiler(wanted: Request) -> Compiled:
    """With no privileges beyond a recorder's."""
    command = [sys.executable, "-m", "podcorder_agent.recorder.bcc"]
    done = subprocess.run(
        command, input=json.dumps(wanted), text=True, capture_output=True, preexec_fn=drop_privileges, check=True
    )
    compiled: Compiled = json.loads(done.stdout)["containers"]
    return compiled


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


def test_instructions_name_the_maps_and_read_by_the_exact_helpers(wanted: Request) -> None:
    """A recorder sees no addresses in /proc/kallsyms, by which bcc takes its kernel for an old one."""
    code = bytes.fromhex(run_compiler(wanted)["instructions"]["record_cgroup_mkdir"])
    instructions = [(each[0], each[1], each[3]) for each in struct.iter_unpack("=BBhI", code)]
    called = {number for operation, _, number in instructions if operation == CALL}
    assert called
    assert not called & PROBE_READ_OF_ANY_ADDRESS
    used = {number for operation, registers, number in instructions if operation == LOAD_64 and registers >> 4 == MAP}
    names = list(wanted["objects"]["containers"]["maps"])
    assert {names[number] for number in used} == {
        "lifecycle",
        "state",
        "counters",
        "numbers",
        "cgroups",
        "cgroup_scratch",
    }


def test_map_of_another_layout_is_refused(wanted: Request) -> None:
    """A source whose structure has grown does not write past the entries that were made."""
    wanted["objects"]["containers"]["maps"]["state"]["value_bytes"] -= 8
    refusals = run_compiler(wanted)["refusals"]
    assert "the map state was made for entries of other sizes" in refusals["record_cgroup_mkdir"]


def test_memory_goes_with_the_child(tmp_path: Path) -> None:
    """The compiler's does not stay in the process that loads."""
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    BccLoader(kept=tmp_path / "none" / "none").try_rung(CONTAINERS.rungs[1])
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 16 * 1024
    assert resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss > 64 * 1024


def test_what_was_compiled_is_not_compiled_again(tmp_path: Path, sources: Path) -> None:
    """For the next recorder on this kernel; anything that is changed is compiled anew."""
    kept = tmp_path / "kept"

    def compiles() -> bool:
        asked: list[int] = []
        BccLoader(sources=sources, kept=kept).prepare(4096, lambda: not asked.append(1))
        return bool(asked)

    assert [compiles(), compiles()] == [True, False]
    (sources / "kernel.h").write_text((sources / "kernel.h").read_text() + "\n")
    assert [compiles(), compiles()] == [True, False]
    assert len(list(kept.iterdir())) == 2


def test_the_compiler_ends_when_the_recorder_does(tmp_path: Path) -> None:
    """It is told so ten times a second, and waits for no compiler."""
    loader = BccLoader(kept=tmp_path / "kept")
    loader.prepare(4096, lambda: False)
    assert not subprocess.run(["pgrep", "-P", str(os.getpid())], capture_output=True).stdout


def test_processes_are_found_without_an_iterator() -> None:
    """By their descriptors: the same numbers and starts as the kernel's own list has."""
    loader = BccLoader()
    loader.prepare(4096, lambda: True)
    found = set(IDENTITY.iter_unpack(list_processes(loader.identity_program)))
    expected = set(IDENTITY.iter_unpack(CoreLoader().list_identities()))
    own = next(each for each in expected if each[0] == os.getpid())
    assert own in found
    assert len(found & expected) > 0.8 * len(expected)


def test_rung_that_needs_types_is_refused() -> None:
    """Every rung but those of plain raw tracepoints, a program at a function's exit among them."""
    for rung in FILES.rungs:
        if not rung.raw:
            with pytest.raises(RungRefused, match="needs the kernel's types"):
                BccLoader().try_rung(rung)


def test_tracepoint_that_hands_over_something_else_is_refused(sources: Path) -> None:
    """The verifier takes a raw tracepoint's arguments for numbers: what they are is held against the kernel's types."""
    containers = sources / "containers.bpf.c"
    text = containers.read_text().replace("record_cgroup_rmdir, struct cgroup *", "record_cgroup_rmdir, struct file *")
    containers.write_text(text)
    with pytest.raises(RungRefused, match="the tracepoint cgroup_rmdir hands over no struct file here"):
        BccLoader(sources=sources).try_rung(CONTAINERS.rungs[1])


def test_field_that_this_kernel_lacks_is_named(sources: Path) -> None:
    """A program that reads it is refused, by its instructions: the verifier would take any place for a place."""
    for path in sources.iterdir():
        path.write_text(re.sub(r"\bkn\b", "gone", path.read_text()))
    with pytest.raises(RungRefused, match=r"this kernel has no cgroup\.gone, which record_cgroup_mkdir needs"):
        BccLoader(sources=sources).try_rung(CONTAINERS.rungs[1])


def test_verifiers_own_word_is_the_reason(sources: Path) -> None:
    """A program that compiles and is not safe is refused as an object's would be."""
    containers = sources / "containers.bpf.c"
    unsafe = "return *(int *)cgroup;"
    containers.write_text(containers.read_text().replace("return record_cgroup(cgroup, path, false);", unsafe))
    with pytest.raises(RungRefused, match=r"^record_cgroup_mkdir: R\d invalid mem access 'scalar'$"):
        BccLoader(sources=sources).try_rung(CONTAINERS.rungs[1])
