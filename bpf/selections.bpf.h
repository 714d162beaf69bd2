/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* Whose events are wanted, and in which session they belong. */
#ifndef PODCORDER_SELECTIONS_BPF_H
#define PODCORDER_SELECTIONS_BPF_H

#include "maps.bpf.h"

#define ANCESTORS_MAX		32	/* how far up a session's root is looked for */

/* What a program knows about the event it is about to record. */
struct subject {
	struct task_struct *task;
	struct selection *selection;
	struct slot *slot;
	struct session *session;	/* NULL where the sessions map was full */
	__u64 cgroup_id;
	__u32 slot_id;
};

static __always_inline __u64 cgroup_id_of(struct task_struct *task)
{
	return task->cgroups->dfl_cgrp->kn->id;
}

static __always_inline __u64 process_start_of(struct task_struct *task)
{
	return task->group_leader->start_boottime;
}

/* The selection of a cgroup if it is being recorded now. */
static __always_inline struct selection *selection_of(__u64 cgroup_id)
{
	struct selection *selection = bpf_map_lookup_elem(&cgroups, &cgroup_id);

	if (!selection || selection->flags & SELECTION_EXCLUDED)
		return NULL;
	return selection;
}

/*
 * A process nobody has placed yet: its root is the topmost ancestor that is
 * still inside the container, found by walking up the real parents.
 */
static __noinline int place_session(struct task_struct *task, struct selection *selection,
				    __u64 start, __u32 tgid)
{
	struct session placed = {};
	struct task_struct *leader;
	int i;

	if (!selection)
		return 0;
	leader = task->group_leader;
	placed.container_id = selection->container_id;
	placed.process_start = start;
	placed.session_start = start;
	placed.session_root = tgid;
	for (i = 0; i < ANCESTORS_MAX; i++) {
		struct task_struct *parent = leader->real_parent->group_leader;
		__u32 parent_tgid = parent->tgid;
		struct session *known;
		struct selection *around;

		if (!parent_tgid)	/* the idle task above init */
			break;
		around = selection_of(cgroup_id_of(parent));
		if (!around || around->container_id != placed.container_id)
			break;
		known = bpf_map_lookup_elem(&sessions, &parent_tgid);
		if (known && known->container_id == placed.container_id) {
			placed.session_start = known->session_start;
			placed.session_root = known->session_root;
			break;
		}
		placed.session_start = parent->start_boottime;
		placed.session_root = parent_tgid;
		leader = parent;
	}
	if (placed.session_start < selection->since)
		placed.flags |= SESSION_PARTIAL;
	return bpf_map_update_elem(&sessions, &tgid, &placed, BPF_ANY);
}

static __always_inline struct session *session_of(struct task_struct *task,
						  struct selection *selection)
{
	__u32 tgid = task->tgid;
	__u64 start = process_start_of(task);
	struct session *session = bpf_map_lookup_elem(&sessions, &tgid);

	if (session && (session->flags & SESSION_IGNORE ||
			(session->container_id == selection->container_id &&
			 session->process_start == start)))
		return session;
	place_session(task, selection, start, tgid);
	return bpf_map_lookup_elem(&sessions, &tgid);
}

/* Fill the subject for a task if events of this class are wanted from it. */
static __always_inline bool select_task(struct subject *subject, struct task_struct *task,
					__u64 cgroup_id, __u32 class)
{
	struct selection *selection = selection_of(cgroup_id);

	if (!selection)
		return false;
	subject->task = task;
	subject->cgroup_id = cgroup_id;
	subject->selection = selection;
	subject->slot_id = selection->slot;
	subject->slot = bpf_map_lookup_elem(&slots, &subject->slot_id);
	if (!subject->slot || !(subject->slot->events & (1U << class)))
		return false;
	subject->session = session_of(task, selection);
	return !(subject->session && subject->session->flags & SESSION_IGNORE);
}

static __always_inline bool select_current(struct subject *subject, __u32 class)
{
	return select_task(subject, bpf_get_current_task_btf(),
			   bpf_get_current_cgroup_id(), class);
}

#endif /* PODCORDER_SELECTIONS_BPF_H */
