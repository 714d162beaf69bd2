/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* From a subject to bytes on the ring, with every loss counted. */
#ifndef PODCORDER_RECORDS_BPF_H
#define PODCORDER_RECORDS_BPF_H

#include "numbers.bpf.h"
#include "selections.bpf.h"

#define RATE_WINDOW_NS 1000000000ULL

/* Available bytes at which the recorder is woken; below, it polls. The loader sets a quarter of the
 * ring. */
KNOB(__u64, wakeup_bytes, 2 * 1024 * 1024);

static __always_inline struct counters *counters_here(void)
{
	__u32 zero = 0;

	return bpf_map_lookup_elem(&counters, &zero);
}

static __always_inline void count_lost(struct counters *counts, __u32 class, __u32 reason)
{
	if (counts && class < CLASS_COUNT && reason < LOSS_REASON_COUNT)
		__sync_fetch_and_add(&counts->lost[class][reason], 1);
	log_error("lost: class=%u reason=%u pid=%u", class, reason, PID);
}

/* For a record that cannot even be begun. */
static __always_inline void count_generated_lost(__u32 class, __u32 reason)
{
	struct counters *counts = counters_here();

	if (counts && class < CLASS_COUNT)
		__sync_fetch_and_add(&counts->generated[class], 1);
	count_lost(counts, class, reason);
}

/* True if the slot's rate limit is used up. Two CPUs may let a few more through; each is counted.
 */
static __always_inline bool throttled(struct subject *subject, __u64 now)
{
	struct selection *selection = subject->selection;

	if (!subject->slot->rate_limit)
		return false;
	if (now - selection->window_start > RATE_WINDOW_NS) {
		selection->window_start = now;
		selection->window_count = 0;
	}
	__sync_fetch_and_add(&selection->window_count, 1);
	return selection->window_count > subject->slot->rate_limit;
}

/* True if a pending container has had its time or its bytes. */
static __always_inline bool pending_over(struct subject *subject, struct state *shared, __u32 size,
					 __u64 now)
{
	struct selection *selection = subject->selection;

	if (now - selection->since > shared->pending_seconds * 1000000000ULL)
		return true;
	__sync_fetch_and_add(&selection->pending_used, size);
	return selection->pending_used > shared->pending_bytes;
}

/*
 * Flags are moved by shifts, not by branches: the verifier would follow each
 * combination of known flags to the end of the program.
 */
static __always_inline __u16 flag_pending(const struct selection *selection)
{
	return (selection->flags & SELECTION_PENDING) << 3;
}

static __always_inline __u16 flags_of(const struct session *session)
{
	return (session->flags & SESSION_PARTIAL) << 5 |
	       (session->flags & (SESSION_ENTERING | SESSION_OWN | SESSION_DOUBTED | SESSION_MOVED))
		       << 6;
}

_Static_assert(SELECTION_PENDING << 3 == RECORD_PENDING, "see flag_pending()");
_Static_assert(SESSION_PARTIAL << 5 == RECORD_PARTIAL, "see flags_of()");
_Static_assert(SESSION_ENTERING << 6 == RECORD_ENTERING, "see flags_of()");
_Static_assert(SESSION_OWN << 6 == RECORD_OWN, "see flags_of()");
_Static_assert(SESSION_DOUBTED << 6 == RECORD_DOUBTED, "see flags_of()");
_Static_assert(SESSION_MOVED << 6 == RECORD_MOVED, "see flags_of()");

/* Who did it, as the task is now. */
static __always_inline void fill_identity(struct record_header *header, struct task_struct *task)
{
	header->process_start = process_start_of(task);
	header->pid = READ(task, pid);
	header->tgid = READ(task, tgid);
	header->ppid = READ(task, real_parent, tgid);
	header->uid = READ(task, cred, uid.val);
	header->gid = READ(task, cred, gid.val);
	READ_ARRAY(header->comm, task, comm);
}

/* Which record it is. */
static __always_inline void number_record(struct record_header *header, struct counters *counts,
					  __u32 class, __u32 size, __u64 now)
{
	header->version = RECORD_VERSION;
	header->class = class;
	header->size = size;
	header->sequence = next_number(counts);
	header->time = now;
	header->cpu = bpf_get_smp_processor_id();
	header->reserved = 0;
}

static __always_inline void fill_header(struct record_header *header, struct task_struct *task,
					struct counters *counts, __u32 class, __u32 size, __u64 now)
{
	number_record(header, counts, class, size, now);
	fill_identity(header, task);
}

/* Count a record as generated. False: it is lost, and counted so. Marks what is pending. */
static __always_inline bool admit_record(struct record_header *header, struct subject *subject,
					 struct counters *counts, __u32 class, __u32 size,
					 __u64 now)
{
	__u32 zero = 0;
	struct state *shared = bpf_map_lookup_elem(&state, &zero);

	if (!shared)
		return false; /* an array of one: cannot fail */
	__sync_fetch_and_add(&counts->generated[class], 1);
	if (now > shared->heartbeat + RECORDER_TIMEOUT_NS) {
		count_lost(counts, class, LOSS_NO_RECORDER);
		return false;
	}
	if (throttled(subject, now)) {
		count_lost(counts, class, LOSS_THROTTLED);
		return false;
	}
	if (subject->selection->flags & SELECTION_PENDING) {
		if (pending_over(subject, shared, size, now)) {
			count_lost(counts, class, LOSS_PENDING);
			return false;
		}
	}
	header->flags |= flag_pending(subject->selection);
	return true;
}

/* Where it belongs. The header has its task's identity already. */
static __always_inline void fill_place(struct record_header *header, struct subject *subject)
{
	struct session *session = subject->session;

	header->slot = subject->slot_id;
	header->cgroup_id = subject->cgroup_id;
	if (session) {
		header->container_id = session->container_id;
		header->session_start = session->session_start;
		header->session_root = session->session_root;
		header->flags |= flags_of(session);
	} else {
		header->container_id = subject->selection->container_id;
		header->session_start = header->process_start;
		header->session_root = header->tgid;
		header->flags |= RECORD_SESSIONLESS;
	}
}

/*
 * Count a record as generated and fill its header. False: it is lost, and
 * counted so. To be called after every filter and before the output.
 */
static __always_inline bool begin_record(struct record_header *header, struct subject *subject,
					 __u32 class, __u32 size)
{
	struct counters *counts = counters_here();
	__u64 now = bpf_ktime_get_boot_ns();

	if (!counts || class >= CLASS_COUNT)
		return false; /* an array of one: cannot fail */
	header->flags = 0;
	if (!admit_record(header, subject, counts, class, size, now))
		return false;
	fill_header(header, subject->task, counts, class, size, now);
	fill_place(header, subject);
	return true;
}

/* For an event whose outcome comes later and in another task: keep whose it is. */
static __always_inline void remember_subject(struct record_header *header, struct subject *subject)
{
	header->flags = 0;
	fill_identity(header, subject->task);
	fill_place(header, subject);
}

/*
 * As begin_record(), for a header filled by remember_subject(). The selection
 * may have gone in the meantime: then nothing limits what it had begun.
 */
static __always_inline bool begin_remembered(struct record_header *header, __u32 class, __u32 size)
{
	__u64 key = header->container_id & LOGIN ? LOGIN : header->cgroup_id;
	struct selection *selection = bpf_map_lookup_elem(&cgroups, &key);
	struct counters *counts = counters_here();
	__u64 now = bpf_ktime_get_boot_ns();
	struct subject subject = {};

	if (!counts || class >= CLASS_COUNT)
		return false; /* an array of one: cannot fail */
	if (selection) {
		if (selection->flags & SELECTION_EXCLUDED) {
			log_unwanted("excluded", class, header->cgroup_id);
			return false;
		}
		subject.selection = selection;
		subject.slot_id = selection->slot;
		subject.slot = slot_at(subject.slot_id);
		if (!subject.slot)
			return false; /* slots are never removed: cannot fail */
		header->slot = subject.slot_id;
		if (!admit_record(header, &subject, counts, class, size, now))
			return false;
	} else {
		__sync_fetch_and_add(&counts->generated[class], 1);
	}
	number_record(header, counts, class, size, now);
	return true;
}

/*
 * Waking the recorder costs more than recording, so it is woken only when a
 * quarter of the ring waits; every 16th record looks, and every large one.
 */
static __always_inline __u64 wakeup_flags(const struct record_header *header, __u32 size)
{
	if (header->sequence & 15 && size < 2048)
		return BPF_RB_NO_WAKEUP;
	return bpf_ringbuf_query(&events, BPF_RB_AVAIL_DATA) >= wakeup_bytes ? BPF_RB_FORCE_WAKEUP :
									       BPF_RB_NO_WAKEUP;
}

/* Hand a record begun with begin_record() to the event ring. */
static __always_inline void submit_record(struct record_header *header, bounded_t size)
{
	if (bpf_ringbuf_output(&events, header, size, wakeup_flags(header, size)))
		count_lost(counters_here(), header->class, LOSS_RING_FULL);
	else
		log_debug("recorded: class=%u pid=%u cgroup=%llu", header->class, header->tgid,
			  header->cgroup_id);
}

#endif /* PODCORDER_RECORDS_BPF_H */
