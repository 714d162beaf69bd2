// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)
/*
 * Ends sessions that nobody records any more, where a policy asks for that. The
 * recorder is gone then: what ends them must be in the kernel already. A process ends
 * as it returns from a system call, its own or the one that it waits in; what began
 * after the recorder had failed goes on, for it was let in knowing that.
 */
#include "selections.bpf.h"

#define SIGKILL 9

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
	__u32 tgid = bpf_get_current_pid_tgid() >> 32, zero = 0;
	struct session *session = bpf_map_lookup_elem(&sessions, &tgid);
	struct selection *selection;
	struct state *shared;
	struct slot *slot;
	__u64 failed;

	if (!session) /* first, for it holds of most: reading the clock takes as long as all else */
		return 0;
	shared = bpf_map_lookup_elem(&state, &zero);
	if (!shared)
		return 0; /* an array of one: cannot fail */
	failed = shared->heartbeat + RECORDER_FAILED_NS;
	if (session->session_start >= failed || bpf_ktime_get_boot_ns() <= failed)
		return 0;
	if (session->process_start != process_start_of(bpf_get_current_task_btf()))
		return 0;
	selection = selection_of(session->container_id);
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
