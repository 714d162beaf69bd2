// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)
/*
 * Cgroups made and removed, on a ring of their own so that a flood of events
 * cannot lose them. A cgroup made inside a selected one belongs to it; any
 * other is held as pending where the recorder asked for that.
 */
#include "records.bpf.h"

#define CGROUP_PATH_SIZE 2048

struct cgroup_scratch {
	struct cgroup_record record;
	char path[CGROUP_PATH_SIZE];
};

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct cgroup_scratch);
} cgroup_scratch SEC(".maps");

/*
 * Whether a new cgroup belongs to the one it is made in. A pod's cgroup comes first, and the pod's
 * containers in it: what is made from outside in one that is held or excluded is held by itself.
 */
static __always_inline bool belongs(const struct selection *around)
{
	__u64 own = bpf_get_current_cgroup_id();
	struct selection *maker;

	if (!(around->flags & (SELECTION_PENDING | SELECTION_EXCLUDED)))
		return true;
	maker = bpf_map_lookup_elem(&cgroups, &own);
	return maker && maker->container_id == around->container_id;
}

/* A new cgroup inherits its parent's selection, or is held for the recorder to decide. */
static __always_inline __u32 inherit_selection(__u64 id, __u64 parent, __u64 now)
{
	struct selection *around = bpf_map_lookup_elem(&cgroups, &parent);
	struct selection selection = {};
	__u32 zero = 0;
	struct state *shared;

	if (around && belongs(around)) {
		selection = *around;
		return bpf_map_update_elem(&cgroups, &id, &selection, BPF_ANY);
	}
	shared = bpf_map_lookup_elem(&state, &zero);
	if (!shared || !shared->pending_events)
		return 0;
	selection.container_id = id;
	selection.since = now;
	selection.slot = SLOT_PENDING;
	selection.flags = SELECTION_PENDING | SELECTION_WATCHED | SELECTION_RUNTIME;
	return bpf_map_update_elem(&cgroups, &id, &selection, BPF_ANY);
}

static __always_inline int record_cgroup(struct cgroup *cgroup, const char *path, bool removed)
{
	struct task_struct *task = bpf_get_current_task_btf();
	__u64 id = BPF_CORE_READ(cgroup, kn, id), now = bpf_ktime_get_boot_ns();
	struct counters *counts = counters_here();
	struct cgroup_scratch *scratch;
	struct cgroup_record *record;
	struct selection *selection;
	__u32 zero = 0, size;
	long length;

	/* version 1 hierarchies have ids of their own, which may be the same numbers */
	if (BPF_CORE_READ(cgroup, root, hierarchy_id))
		return 0;
	scratch = bpf_map_lookup_elem(&cgroup_scratch, &zero);
	if (!scratch || !counts)
		return 0; /* arrays of one: cannot fail */
	record = &scratch->record;
	record->id = id;
	record->parent = BPF_CORE_READ(cgroup, self.parent, cgroup, kn, id);
	record->level = BPF_CORE_READ(cgroup, level);
	record->removed = removed;
	record->header.flags = 0;
	if (!removed && inherit_selection(id, record->parent, now))
		count_generated_lost(CLASS_CGROUP, LOSS_MAP_FULL); /* besides the record below */
	selection = bpf_map_lookup_elem(&cgroups, &id);

	length = bpf_probe_read_kernel_str(scratch->path, sizeof(scratch->path), path);
	if (length < 1) {
		record->header.flags |= RECORD_UNREADABLE;
		length = 1;
	}
	if (length == sizeof(scratch->path))
		record->header.flags |= RECORD_TRUNCATED;
	record->path_length = length - 1;
	size = sizeof(*record) + ((length - 1) & (CGROUP_PATH_SIZE - 1));

	__sync_fetch_and_add(&counts->generated[CLASS_CGROUP], 1);
	fill_header(&record->header, task, counts, CLASS_CGROUP, size, now);
	record->header.cgroup_id = bpf_get_current_cgroup_id();
	record->header.container_id = selection ? selection->container_id : 0;
	record->header.slot = selection ? selection->slot : 0;
	record->header.session_start = 0;
	record->header.session_root = 0;
	if (selection && selection->flags & SELECTION_PENDING)
		record->header.flags |= RECORD_PENDING;
	if (bpf_ringbuf_output(&lifecycle, record, size, BPF_RB_FORCE_WAKEUP))
		count_lost(counts, CLASS_CGROUP, LOSS_RING_FULL);
	if (removed) {
		bpf_map_delete_elem(&cgroups, &id);
		bpf_map_delete_elem(&roots, &id);
	}
	return 0;
}

SEC("tp_btf/cgroup_mkdir")
int BPF_PROG(record_cgroup_mkdir, struct cgroup *cgroup, const char *path)
{
	return record_cgroup(cgroup, path, false);
}

SEC("tp_btf/cgroup_rmdir")
int BPF_PROG(record_cgroup_rmdir, struct cgroup *cgroup, const char *path)
{
	return record_cgroup(cgroup, path, true);
}

char LICENSE[] SEC("license") = LICENSE_TEXT;
