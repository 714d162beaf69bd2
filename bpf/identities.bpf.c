// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)
/*
 * The processes of the reader's own pid namespace and below, by both numbers:
 * the one they have there and the one every other program here sees.
 */
#include "compat.bpf.h"
#include "record.h"

#ifdef LOADER_BCC
#define PIDTYPE_TGID 1

/* What tell_identity tells, 32 bits at a time. */
enum identity_part {
	PART_TGID = 0,	/* in the initial pid namespace */
	PART_START = 1, /* start_boottime, ns: the lower half */
	PART_START_HIGH = 2,
};

/*
 * Run by the recorder itself with a process descriptor (pidfd_open(2)) and an
 * identity_part, where an iterator has no types to know the tasks by. 0: the
 * process is gone.
 */
PROGRAM(tracepoint, sys_exit)
int tell_identity(__u64 *context)
{
	struct task_struct *reader = (struct task_struct *)bpf_get_current_task();
	struct file **files = BPF_CORE_READ(reader, files, fdt, fd);
	struct task_struct *leader;
	struct hlist_node *links;
	struct file *file = NULL;
	struct pid *pid;

	bpf_probe_read_kernel(&file, sizeof(file), &files[context[0]]);
	pid = BPF_CORE_READ(file, private_data);
	if (!pid) /* from Linux 6.9 on */
		pid = BPF_CORE_READ(file, f_inode, i_private);
	if (context[1] == PART_TGID)
		return BPF_CORE_READ(pid, numbers[0].nr);
	links = BPF_CORE_READ(pid, tasks[PIDTYPE_TGID].first);
	if (!links)
		return 0;
	leader = (void *)links - bpf_core_field_offset(struct task_struct, pid_links) -
		 PIDTYPE_TGID * sizeof(struct hlist_node);
	if (context[1] == PART_START)
		return BPF_CORE_READ(leader, start_boottime);
	return BPF_CORE_READ(leader, start_boottime) >> 32;
}
#else
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

PROGRAM(iterator, task)
int list_identities(struct bpf_iter__task *ctx)
{
	/* by helper alone, as 5.10 must */
	struct task_struct *reader = (struct task_struct *)bpf_get_current_task();
	struct task_struct *task = ctx->task;
	struct identity identity = {};

	if (!task || task->pid != task->tgid) /* the end, or a thread */
		return 0;
	identity.pid = number_at(task, BPF_CORE_READ(reader, thread_pid, level));
	identity.tgid = task->tgid;
	identity.start = task->start_boottime;
	bpf_seq_write(ctx->meta->seq, &identity, sizeof(identity));
	return 0;
}

#endif

DECLARE_LICENSE;
