// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)
/*
 * Ends sessions that nobody records any more, where a policy asks for that. The
 * recorder is gone then: what ends them must be in the kernel already. A process ends
 * as it returns from a system call, its own or the one that it waits in; what began
 * after the recorder had failed goes on, for it was let in knowing that.
 */
#include "selections.bpf.h"

#define SIGKILL 9

static __always_inline bool is_over(const struct session *session, const struct state *shared,
				    __u64 now)
{
	__u64 failed = shared->heartbeat + RECORDER_FAILED_NS;

	return now > failed && session->session_start < failed;
}

/* Whether its slot ends sessions of this kind. Only a debug container's own is somebody's. */
static __always_inline bool is_ended(const struct session *session,
				     const struct selection *selection, const struct slot *slot)
{
	if (session->flags & (SESSION_IGNORE | SESSION_ENTERING))
		return false;
	if (session->flags & SESSION_OWN)
		return selection->flags & SELECTION_DEBUG && slot->flags & SLOT_ENDS_DEBUG;
	return slot->flags & SLOT_ENDS_EXEC;
}

PROGRAM(tracepoint, sys_exit)
int end_session(__u64 *ctx)
{
	struct task_struct *task = bpf_get_current_task_btf();
	__u32 tgid = bpf_get_current_pid_tgid() >> 32, zero = 0;
	__u64 now = bpf_ktime_get_boot_ns(), container_id;
	struct state *shared = bpf_map_lookup_elem(&state, &zero);
	struct selection *selection;
	struct session *session;
	struct slot *slot;

	if (!shared || now <= shared->heartbeat + RECORDER_FAILED_NS)
		return 0;
	session = bpf_map_lookup_elem(&sessions, &tgid);
	if (!session || session->process_start != process_start_of(task) ||
	    !is_over(session, shared, now))
		return 0;
	container_id = session->container_id;
	selection = selection_of(container_id);
	if (!selection)
		return 0;
	slot = slot_at(selection->slot);
	if (!slot || !is_ended(session, selection, slot))
		return 0;
	log_info("session ended by us: pid=%u root=%u", tgid, session->session_root);
	bpf_send_signal(SIGKILL);
	return 0;
}

DECLARE_LICENSE;
