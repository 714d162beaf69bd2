// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)
/*
 * Programs that could not be started. The name and the arguments exist only in
 * the caller's memory, which may have changed since: the record says unsettled.
 */
#include "records.bpf.h"
#include "syscalls.bpf.h"

#define FAILED_ARGUMENTS 64
#define ARGUMENT_SIZE	 4096
#define FAILED_ARGV_SIZE (16 * 1024)

struct exec_failed_scratch {
	struct exec_failed_record record;
	/* filename and argv; the slack lets the verifier see every write inside */
	char tail[PATH_SIZE + FAILED_ARGV_SIZE + ARGUMENT_SIZE];
	/* in memory, not in registers: see walk_up() */
	__u32 at;
	__u32 flags; /* RECORD_* */
};

MAP(exec_failed_scratch, PERCPU_ARRAY, 1, __u32, struct exec_failed_scratch);

/*
 * The n-th pointer of the caller's argv, 0 at its end or where it cannot be
 * read; the latter sets RECORD_UNREADABLE.
 */
static __always_inline __u64 read_pointer(struct exec_failed_scratch *scratch, __u64 argv, int n,
					  bool compat)
{
	__u64 pointer = 0;
	long failed = compat ? bpf_probe_read_user(&pointer, 4, (void *)(argv + 4 * n)) :
			       bpf_probe_read_user(&pointer, 8, (void *)(argv + 8 * n));

	if (failed) {
		scratch->flags |= RECORD_UNREADABLE;
		return 0;
	}
	return pointer;
}

__checked_once int read_arguments(struct exec_failed_scratch *scratch, __u64 argv, bool compat)
{
	__u32 argc = 0;
	int i;

	if (!scratch)
		return 0;
	for (i = 0; i <= FAILED_ARGUMENTS; i++) {
		__u64 pointer = read_pointer(scratch, argv, i, compat);
		bounded_t at = scratch->at;
		long length;

		if (!pointer)
			break;
		argc++;
		if (i == FAILED_ARGUMENTS || at >= PATH_SIZE + FAILED_ARGV_SIZE) {
			scratch->flags |= RECORD_TRUNCATED;
			break;
		}
		length =
			bpf_probe_read_user_str(&scratch->tail[at], ARGUMENT_SIZE, (void *)pointer);
		if (length < 1) {
			/* an empty string keeps the place of what could not be read */
			scratch->flags |= RECORD_UNREADABLE;
			scratch->tail[at] = 0;
			length = 1;
		}
		if (length == ARGUMENT_SIZE)
			scratch->flags |= RECORD_TRUNCATED;
		scratch->at = at + length;
	}
	scratch->record.argc = argc;
	return 0;
}

/* Tail-called at the exit of execve and execveat. */
PROGRAM(tracepoint, sys_exit)
int record_exec_failed(__u64 *ctx)
{
	struct pt_regs *regs = (struct pt_regs *)ctx[0];
	struct exec_failed_scratch *scratch;
	struct exec_failed_record *record;
	struct subject subject = {};
	__u32 zero = 0;
	bounded_t size;
	__s64 result = ctx[1];
	long length;
	bool compat;
	int first;

	if (result >= 0 || !select_current(&subject, CLASS_EXEC_FAILED))
		return 0;
	scratch = bpf_map_lookup_elem(&exec_failed_scratch, &zero);
	if (!scratch)
		return 0; /* an array of one: cannot fail */
	record = &scratch->record;
	compat = is_compat(subject.task);
	first = call_of(regs, compat) == CALL_EXECVEAT ? 1 : 0;

	scratch->flags = RECORD_UNSETTLED | (compat ? RECORD_COMPAT : 0);
	length = bpf_probe_read_user_str(scratch->tail, PATH_SIZE,
					 (void *)syscall_argument(regs, first, compat));
	if (length < 1) {
		scratch->flags |= RECORD_UNREADABLE;
		length = 1;
	}
	if (length == PATH_SIZE)
		scratch->flags |= RECORD_TRUNCATED;
	record->filename_length = length - 1;
	scratch->at = length - 1;
	read_arguments(scratch, syscall_argument(regs, first + 1, compat), compat);
	record->error = result;
	record->reserved = 0;
	record->argv_length = scratch->at - record->filename_length;

	size = sizeof(*record) + scratch->at;
	if (size > sizeof(*record) + sizeof(scratch->tail))
		return 0; /* at never passes the tail */
	if (!begin_record(&record->header, &subject, CLASS_EXEC_FAILED, size))
		return 0;
	record->header.flags |= scratch->flags;
	submit_record(&record->header, size);
	return 0;
}

DECLARE_LICENSE;
