"""Memory of BPF: before Linux 5.11 the kernel charges it to the limit of locked memory (RLIMIT_MEMLOCK)."""

from __future__ import annotations

import os
import resource

from podcorder_agent.recorder import bpf_maps, libbpf


def charge_refusal() -> str:
    """Why the kernel may have denied memory, once it has; empty: for another reason."""
    soft, hard = resource.getrlimit(resource.RLIMIT_MEMLOCK)
    if soft == resource.RLIM_INFINITY:
        return ""
    resource.setrlimit(resource.RLIMIT_MEMLOCK, (0, hard))
    try:
        fd: int = libbpf.library().bpf_map_create(bpf_maps.MAP_TYPE_ARRAY, b"", 4, 8, 1, None)
    finally:
        resource.setrlimit(resource.RLIMIT_MEMLOCK, (soft, hard))
    if fd >= 0:
        os.close(fd)
        return ""
    return (
        f"this kernel takes BPF's memory for locked memory, of which {soft // 1024} KiB are allowed here: "
        "grant CAP_SYS_RESOURCE (agent.sysResource in the chart), or raise that limit (ulimit -l)"
    )
