// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)
/*
 * Cgroups made and removed, on a ring of their own so that a flood of events
 * cannot lose them. A cgroup made inside a selected one belongs to it; any
 * other is held as pending where the recorder asked for that.
 */
#include "records.bpf.h"

#define CGROUP_PATH_SIZE 2048
#define NAME_SIZE	 256 /* NAME_MAX and its NUL */

struct cgroup_scratch {
	struct cgroup_record record;
	char path[CGROUP_PATH_SIZE];
};

MAP(cgroup_scratch, PERCPU_ARRAY, 1, __u32, struct cgroup_scratch);

/* Whether a cgroup is a scope of systemd: of somebody's processes, with no other units in it. */
static __always_inline bool is_scope(struct cgroup *cgroup, char name[NAME_SIZE])
{
	const char suffix[] = ".scope";
	long length = bpf_probe_read_kernel_str(name, NAME_SIZE, BPF_CORE_READ(cgroup, kn, name));
	__u32 i;

	if (length < (long)sizeof(suffix))
		return false;
	for (i = 0; i < sizeof(suffix); i++)
		if (name[(length - sizeof(suffix) + i) & (NAME_SIZE - 1)] != suffix[i])
			return false;
	return true;
}

/*
 * Whether a new cgroup belongs to the one it is made in. A pod's cgroup comes first, and the pod's
 * containers in it: what is made from outside in one that is held or excluded is held by itself.
 * In a scope it is the runtime that makes it, for the container that the scope is of, as crun does.
 */
static __always_inline bool belongs(const struct selection *around, struct cgroup *parent,
				    char name[NAME_SIZE])
{
	__u64 own = bpf_get_current_cgroup_id();
	struct selection *maker;

	if (!(around->flags & (SELECTION_PENDING | SELECTION_EXCLUDED)) ||
	    around->flags & SELECTION_OUTSIDE)
		return true;
	maker = bpf_map_lookup_elem(&cgroups, &own);
	if (maker && maker->container_id == around->container_id)
		return true;
	return is_scope(parent, name);
}

/* A new cgroup inherits its parent's selection, or is held for the recorder to decide. */
static __always_inline __u32 inherit_selection(const struct cgroup_record *record,
					       struct cgroup *parent, char name[NAME_SIZE],
					       __u64 now)
{
	struct selection *around = bpf_map_lookup_elem(&cgroups, &record->parent);
	struct selection selection = {};
	__u64 id = record->id;
	__u32 zero = 0;
	struct state *shared;

	if (around && belongs(around, parent, name)) {
		selection = *around;
		log_info("container inherits: cgroup=%llu container=%llu flags=%u", id,
			 selection.container_id, selection.flags);
		return bpf_map_update_elem(&cgroups, &id, &selection, BPF_ANY);
	}
	shared = bpf_map_lookup_elem(&state, &zero);
	if (!shared || !shared->pending_events)
		return 0;
	selection.container_id = id;
	selection.since = now;
	selection.slot = SLOT_PENDING;
	selection.flags = SELECTION_PENDING | SELECTION_WATCHED | SELECTION_RUNTIME;
	log_info("container held: cgroup=%llu pid=%u", id, PID);
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
	struct cgroup *parent;
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
	parent = BPF_CORE_READ(cgroup, self.parent, cgroup);
	record->parent = BPF_CORE_READ(parent, kn, id);
	record->level = BPF_CORE_READ(cgroup, level);
	record->removed = removed;
	record->header.flags = 0;
	if (!removed && inherit_selection(record, parent, scratch->path, now))
		count_generated_lost(CLASS_CGROUP, LOSS_MAP_FULL); /* besides the record below */
	selection = bpf_map_lookup_elem(&cgroups, &id);
	log_debug("cgroup seen: cgroup=%llu removed=%u pid=%u", id, removed, PID);

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

PROGRAM(tracepoint, cgroup_mkdir)
int BPF_PROG(record_cgroup_mkdir, struct cgroup *cgroup, const char *path)
{
	return record_cgroup(cgroup, path, false);
}

PROGRAM(tracepoint, cgroup_rmdir)
int BPF_PROG(record_cgroup_rmdir, struct cgroup *cgroup, const char *path)
{
	return record_cgroup(cgroup, path, true);
}

DECLARE_LICENSE;
