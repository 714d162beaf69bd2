// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)
/*
 * The processes of the reader's own pid namespace and below, by both numbers:
 * the one they have there and the one every other program here sees.
 */
#include "compat.bpf.h"

struct identity {
	__u32 pid;   /* in the reader's pid namespace */
	__u32 tgid;  /* in the initial one */
	__u64 start; /* start_boottime, ns */
};

/* A process's number in the namespace of this level, which it or a parent of its namespace is. */
static __always_inline __u32 number_at(struct task_struct *task, __u32 level)
{
	/* read by helper: with a trusted pointer the verifier allows no sums */
	void *pid = BPF_CORE_READ(task, thread_pid);
	__u32 number = 0;

	pid += bpf_core_field_offset(struct pid, numbers);
	pid += level * bpf_core_type_size(struct upid) + bpf_core_field_offset(struct upid, nr);
	bpf_probe_read_kernel(&number, sizeof(number), pid);
	return number;
}

PROGRAM("iter/task")
int list_identities(struct bpf_iter__task *ctx)
{
	struct task_struct *reader = bpf_get_current_task_btf();
	struct task_struct *task = ctx->task;
	struct identity identity = {};

	if (!task || task->pid != task->tgid) /* the end, or a thread */
		return 0;
	identity.pid = number_at(task, reader->thread_pid->level);
	identity.tgid = task->tgid;
	identity.start = task->start_boottime;
	bpf_seq_write(ctx->meta->seq, &identity, sizeof(identity));
	return 0;
}

DECLARE_LICENSE;
