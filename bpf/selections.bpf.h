/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* Whose events are wanted, and in which session they belong. */
#ifndef PODCORDER_SELECTIONS_BPF_H
#define PODCORDER_SELECTIONS_BPF_H

#include "maps.bpf.h"

#define ANCESTORS_MAX 16 /* how far up a session's root is looked for */

/* What a program knows about the event it is about to record. */
struct subject {
	struct task_struct *task;
	struct selection *selection;
	struct slot *slot;
	struct session *session; /* NULL where the sessions map was full */
	__u64 cgroup_id;
	__u32 slot_id;
};

static __always_inline __u64 process_start_of(struct task_struct *task)
{
	return READ(task, group_leader, start_boottime);
}

/* The selection of a cgroup if it is being recorded now. */
static __always_inline struct selection *selection_of(__u64 cgroup_id)
{
	struct selection *selection = bpf_map_lookup_elem(&cgroups, &cgroup_id);

	if (!selection || selection->flags & SELECTION_EXCLUDED)
		return NULL;
	return selection;
}

/* What stands in a container's place for the login that a task belongs to; 0: to none. */
static __always_inline __u64 login_of(struct task_struct *task)
{
	__u32 uid, session;

	if (!HAS_FIELD(task_struct, loginuid))
		return 0;
	uid = READ(task, loginuid.val);
	session = READ(task, sessionid);
	if (uid == (__u32)-1 || session == (__u32)-1)
		return 0;
	return LOGIN | (__u64)uid << LOGIN_SESSION_BITS |
	       (session & ((1U << LOGIN_SESSION_BITS) - 1));
}

static __always_inline __u32 login_uid(__u64 login)
{
	return login >> LOGIN_SESSION_BITS;
}

/*
 * Whether the current task belongs to a login: by the session it lives in, else by
 * its audit session. What is in a pid namespace of its own is some container's, where
 * anybody may claim a login uid: it belongs to none by itself.
 */
__checked_once int is_in_login(void)
{
	struct task_struct *task = bpf_get_current_task_btf();
	__u32 tgid = bpf_get_current_pid_tgid() >> 32;
	struct session *session = bpf_map_lookup_elem(&sessions, &tgid);

	if (session && session->container_id & LOGIN &&
	    session->process_start == process_start_of(task))
		return 1;
	return login_of(task) && !BPF_CORE_READ(task, thread_pid, level);
}

/*
 * The selection of the current task: its cgroup's, or where nobody decided about
 * that one yet, that of the session it lives in. So a process that is moved out of the
 * cgroup is still recorded, and so is what it starts. Outside of all containers it is
 * that of logins, if it belongs to one.
 */
static __always_inline struct selection *selection_current(__u64 cgroup_id)
{
	struct selection *selection = bpf_map_lookup_elem(&cgroups, &cgroup_id), *left;
	struct session *session;
	struct state *shared;
	__u32 key;

	if (selection && !(selection->flags & (SELECTION_OUTSIDE | SELECTION_PENDING)))
		return selection->flags & SELECTION_EXCLUDED ? NULL : selection;
	if (selection && selection->flags & SELECTION_OUTSIDE)
		selection = NULL;
	/* one place each for keys of 8 and of 4 bytes: record_datagram has no more stack */
	key = bpf_get_current_pid_tgid() >> 32;
	session = bpf_map_lookup_elem(&sessions, &key);
	cgroup_id = session ? session->container_id : 0;
	if (cgroup_id && !(cgroup_id & LOGIN) &&
	    session->process_start == process_start_of(bpf_get_current_task_btf())) {
		left = bpf_map_lookup_elem(&cgroups, &cgroup_id);
		if (!left || left->flags & SELECTION_EXCLUDED)
			return selection;
		/* a runtime may itself be held still, when it begins a container */
		return selection && left->flags & SELECTION_PENDING ? selection : left;
	}
	if (selection)
		return selection;
	key = 0;
	shared = bpf_map_lookup_elem(&state, &key);
	if (!shared || !shared->logins || !is_in_login())
		return NULL;
	cgroup_id = LOGIN;
	return bpf_map_lookup_elem(&cgroups, &cgroup_id);
}

/*
 * SESSION_OWN where this process, whose parent is outside, begins or began the
 * container's own session: the first since its cgroup was made. Of a container
 * that was not seen made only what is older than its selection may be its own.
 */
static __always_inline __u32 claim_own(struct selection *selection, __u64 start, __u32 tgid,
				       bool older)
{
	struct root root = {.start = start, .tgid = tgid};
	__u64 container_id = selection->container_id;
	struct root *own = bpf_map_lookup_elem(&roots, &container_id);

	if (!own && selection->flags & SELECTION_RUNTIME && !(selection->flags & SELECTION_WATCHED))
		return older ? SESSION_OWN : 0;
	if (!own) {
		if (!bpf_map_update_elem(&roots, &container_id, &root, BPF_NOEXIST))
			return SESSION_OWN;
		own = bpf_map_lookup_elem(&roots, &container_id);
	}
	return own && own->tgid == tgid && own->start == start ? SESSION_OWN : 0;
}

/*
 * Place the current process, which has no session in this container yet: its root is the
 * topmost ancestor still inside the container, found by walking up the real parents.
 */
__checked_once int place_session(struct selection *selection)
{
	struct task_struct *task = bpf_get_current_task_btf();
	struct task_struct *leader = BPF_CORE_READ(task, group_leader);
	struct session placed = {};
	__u32 tgid = BPF_CORE_READ(leader, tgid);
	bool inherits = false, older;
	int i;

	if (!selection)
		return 0;
	placed.container_id = selection->container_id;
	placed.process_start = BPF_CORE_READ(leader, start_boottime);
	placed.session_start = placed.process_start;
	placed.session_root = tgid;
	for (i = 0; i < ANCESTORS_MAX; i++) {
		/*
		 * Read by helper: for each direct read of a trusted pointer the verifier searches
		 * all of the kernel's types by name, once for each turn.
		 */
		struct task_struct *parent = BPF_CORE_READ(leader, real_parent, group_leader);
		__u32 parent_tgid = BPF_CORE_READ(parent, tgid);
		struct selection *around;
		struct session *known;

		if (!parent_tgid) /* the idle task above init */
			break;
		around = selection_of(BPF_CORE_READ(parent, cgroups, dfl_cgrp, kn, id));
		if (!around || around->container_id != placed.container_id)
			break;
		placed.session_start = BPF_CORE_READ(parent, start_boottime);
		placed.session_root = parent_tgid;
		known = bpf_map_lookup_elem(&sessions, &parent_tgid);
		if (known && known->container_id == placed.container_id) {
			placed.session_start = known->session_start;
			placed.session_root = known->session_root;
			placed.flags =
				known->flags & (SESSION_ENTERING | SESSION_OWN | SESSION_MOVED);
			inherits = true;
			break;
		}
		leader = parent;
	}
	older = placed.session_start < selection->since && !(selection->flags & SELECTION_WATCHED);
	if (older)
		placed.flags |= SESSION_PARTIAL;
	if (!older && placed.session_root == tgid && selection->flags & SELECTION_RUNTIME)
		placed.flags |= SESSION_ENTERING;
	else if (!inherits)
		placed.flags |=
			claim_own(selection, placed.session_start, placed.session_root, older);
	log_info("session placed: pid=%u root=%u flags=%u", tgid, placed.session_root,
		 placed.flags);
	return bpf_map_update_elem(&sessions, &tgid, &placed, BPF_ANY);
}

/*
 * Place the current process if it has lived in a session of another container that is recorded:
 * it is no stage that a runtime sets, but was moved, and begins a session. What is held may yet
 * be found to be the runtime's, and a login, whose id is no cgroup's, may have called one.
 */
__checked_once int place_moved(struct selection *selection)
{
	struct task_struct *task = bpf_get_current_task_btf();
	__u32 tgid = bpf_get_current_pid_tgid() >> 32;
	struct session *session = bpf_map_lookup_elem(&sessions, &tgid);
	struct selection *left;

	if (!selection || !session || session->flags & SESSION_ENTERING ||
	    session->process_start != process_start_of(task))
		return 0;
	left = bpf_map_lookup_elem(&cgroups, &session->container_id); /* no stack for a copy */
	if (!left || left->flags & (SELECTION_PENDING | SELECTION_EXCLUDED))
		return 0;
	session->session_start = bpf_ktime_get_boot_ns();
	session->session_root = tgid;
	session->flags = SESSION_MOVED;
	session->container_id = selection->container_id;
	log_info("session moved: pid=%u container=%llu", tgid, session->container_id);
	return 1;
}

/*
 * Place the current process in its login's session, unless it is there already: it
 * begins with the first process that is seen of it. A login uid that was taken back,
 * which root may do, changes nothing; another one begins another session. Whose it is
 * stands in doubt then, and where who begins it is neither root nor this user: a process
 * that never had a login uid may claim any.
 */
__checked_once int place_login(__u64 since)
{
	struct task_struct *task = bpf_get_current_task_btf();
	__u32 tgid = bpf_get_current_pid_tgid() >> 32, uid = bpf_get_current_uid_gid();
	struct session *before = bpf_map_lookup_elem(&sessions, &tgid);
	struct session placed = {.container_id = login_of(task)};
	struct root root = {.tgid = tgid}, *first;

	placed.process_start = process_start_of(task);
	if (before && before->flags & SESSION_IGNORE)
		return 0;
	if (before && before->container_id & LOGIN &&
	    before->process_start == placed.process_start) {
		if (!placed.container_id || before->container_id == placed.container_id)
			return 0;
		root.flags = SESSION_DOUBTED;
	} else if (placed.process_start < since) {
		root.flags = SESSION_PARTIAL;
	}
	if (uid && uid != login_uid(placed.container_id))
		root.flags |= SESSION_DOUBTED;
	root.start = bpf_ktime_get_boot_ns();
	bpf_map_update_elem(&logins, &placed.container_id, &root, BPF_NOEXIST);
	first = bpf_map_lookup_elem(&logins, &placed.container_id);
	if (!first)
		first = &root;
	placed.session_start = first->start;
	placed.session_root = first->tgid;
	placed.flags = first->flags;
	log_info("login placed: pid=%u root=%u flags=%u", tgid, placed.session_root, placed.flags);
	return bpf_map_update_elem(&sessions, &tgid, &placed, BPF_ANY);
}

/* The session that the current process is known to have. */
static __always_inline struct session *known_session(struct task_struct *task,
						     const struct selection *selection)
{
	__u64 start = process_start_of(task);
	__u32 tgid = READ(task, tgid);
	struct session *session = bpf_map_lookup_elem(&sessions, &tgid);

	if (session &&
	    (session->flags & SESSION_IGNORE ||
	     (session->container_id == selection->container_id && session->process_start == start)))
		return session;
	return NULL;
}

/* The current process's session. */
static __always_inline struct session *session_of(struct task_struct *task,
						  struct selection *selection)
{
	struct session *session;
	__u32 tgid = READ(task, tgid);

	if (selection->container_id == LOGIN) {
		place_login(selection->since);
		return bpf_map_lookup_elem(&sessions, &tgid);
	}
	session = known_session(task, selection);
	if (!session) {
		if (!place_moved(selection))
			place_session(selection);
		return bpf_map_lookup_elem(&sessions, &tgid);
	}
	/* known from before its container was excluded, and selected again */
	if (session->session_start < selection->since && !(selection->flags & SELECTION_WATCHED))
		session->flags |= SESSION_PARTIAL;
	return session;
}

/*
 * Whether the current task is still in the mount namespace of whoever started it from
 * outside the container: so are a runtime's own stages, and what a container is to run
 * never is. Its parent may have gone inside before it forked, as nsenter does. So has a
 * runtime that executes hooks before the container's first program: until that has
 * begun, its children are stages as well.
 */
__checked_once int is_still_outside(struct selection *selection)
{
	struct task_struct *task = bpf_get_current_task_btf();
	struct mnt_namespace *own = BPF_CORE_READ(task, nsproxy, mnt_ns);
	struct task_struct *leader = BPF_CORE_READ(task, group_leader);
	__u64 container_id;
	bool hooks;
	int i;

	if (!selection)
		return 0;
	container_id = selection->container_id;
	hooks = selection->flags & SELECTION_WATCHED && !bpf_map_lookup_elem(&roots, &container_id);
	for (i = 0; i < ANCESTORS_MAX; i++) {
		struct task_struct *parent = BPF_CORE_READ(leader, real_parent, group_leader);
		__u64 cgroup_id = BPF_CORE_READ(parent, cgroups, dfl_cgrp, kn, id);
		struct selection *around = bpf_map_lookup_elem(&cgroups, &cgroup_id);

		if (hooks || !around || around->container_id != container_id)
			return own && own == BPF_CORE_READ(parent, nsproxy, mnt_ns);
		leader = parent;
	}
	return 0;
}

/*
 * SESSION_OWN for the first init of a pid namespace that begins in a container: whoever
 * enters with a namespace of his own comes later. Of a container that was not seen made
 * it may have begun before.
 */
static __always_inline __u32 claim_init(struct selection *selection, __u64 start, __u32 tgid)
{
	struct root root = {.start = start, .tgid = tgid, .flags = SESSION_OWN};
	__u64 container_id = selection->container_id;
	struct root *own = bpf_map_lookup_elem(&roots, &container_id);

	if (own ? own->flags & SESSION_OWN : !(selection->flags & SELECTION_WATCHED))
		return 0;
	bpf_map_update_elem(&roots, &container_id, &root, BPF_ANY);
	return SESSION_OWN;
}

/*
 * SESSION_OWN where a session that begins is the container's own: that of its pid
 * namespace's init, which may be slower to its first exec than somebody who enters. Where
 * the namespace is shared or the node's, its init lives elsewhere, and the first one counts.
 */
static __always_inline __u32 begin_own(struct selection *selection, struct task_struct *task)
{
	struct task_struct *init = BPF_CORE_READ(task, nsproxy, pid_ns_for_children, child_reaper);
	__u64 cgroup_id = BPF_CORE_READ(init, cgroups, dfl_cgrp, kn, id);
	struct selection *around = bpf_map_lookup_elem(&cgroups, &cgroup_id);

	if (init && BPF_CORE_READ(init, tgid) == READ(task, tgid))
		return claim_init(selection, process_start_of(task), READ(task, tgid));
	if (around && around->container_id == selection->container_id)
		return 0;
	return claim_own(selection, process_start_of(task), READ(task, tgid), false);
}

/*
 * The first exec inside begins the session: what a container runtime did in
 * here before, to set the stage, was not yet it, and that may be an exec of its
 * own. Its stages are siblings, not ancestors, of what it starts, so
 * inheritance alone would name the wrong root.
 */
static __always_inline void begin_session(struct task_struct *task)
{
	__u64 cgroup_id = bpf_get_current_cgroup_id();
	struct selection *selection = bpf_map_lookup_elem(&cgroups, &cgroup_id), *current;
	struct session *session;

	if (!selection)
		return;
	if (selection->flags & SELECTION_PENDING) {
		current = selection_current(cgroup_id);
		if (!current || current->container_id != selection->container_id)
			return; /* another container's, who was moved into one that is held */
	}
	/* an excluded container may be selected later: what enters it now has entered then */
	session = selection->flags & SELECTION_EXCLUDED ? known_session(task, selection) :
							  session_of(task, selection);
	if (!session || !(session->flags & SESSION_ENTERING) || is_still_outside(selection))
		return;
	session->session_root = READ(task, tgid);
	session->session_start = bpf_ktime_get_boot_ns();
	session->flags &= ~SESSION_ENTERING;
	session->flags |= begin_own(selection, task);
	log_info("session begun: pid=%u flags=%u cgroup=%llu", PID, session->flags, cgroup_id);
}

/* A slot as it is now; NULL only for a number that is none. */
static __always_inline struct slot *slot_at(__u32 number)
{
	struct slot_sides *sides = bpf_map_lookup_elem(&slots, &number);

	return sides ? &sides->sides[sides->current & 1] : NULL;
}

/* SESSION_* of what a slot does not record. By a shift, as flags are in records.bpf.h. */
static __always_inline __u32 unwanted_sessions(const struct slot *slot)
{
	return SESSION_IGNORE | (slot->flags & SLOT_SKIPS_OWN) >> 2;
}

_Static_assert(SLOT_SKIPS_OWN >> 2 == SESSION_OWN, "see unwanted_sessions()");

/* Fill the subject if events of this class are wanted from the current task. */
static __always_inline bool select_current(struct subject *subject, __u32 class)
{
	subject->task = bpf_get_current_task_btf();
	subject->cgroup_id = bpf_get_current_cgroup_id();
	subject->selection = selection_current(subject->cgroup_id);
	if (!subject->selection) {
		log_unwanted("not selected", class, subject->cgroup_id);
		return false;
	}
	subject->slot_id = subject->selection->slot;
	subject->slot = slot_at(subject->slot_id);
	if (!subject->slot || !(subject->slot->events & (1U << class))) {
		log_debug("class off: class=%u pid=%u slot=%u", class, PID, subject->slot_id);
		return false;
	}
	subject->session = session_of(subject->task, subject->selection);
	if (subject->session && subject->session->flags & unwanted_sessions(subject->slot)) {
		log_unwanted("session not wanted", class, subject->cgroup_id);
		return false;
	}
	return true;
}

#endif /* PODCORDER_SELECTIONS_BPF_H */
