// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)
/*
 * Files opened through system calls, of either ABI. The path is that of the
 * file behind the descriptor, so a caller cannot name one file and open another.
 */
#include "opens.bpf.h"
#include "syscalls.bpf.h"

/* struct open_how, include/uapi/linux/openat2.h: flags come first */
static __always_inline __u32 read_open_how(__u64 how)
{
	__u64 flags = 0;

	bpf_probe_read_user(&flags, sizeof(flags), (void *)how);
	return flags;
}

static __always_inline __u32 asked_flags(enum call call, struct pt_regs *regs, bool compat)
{
	switch (call) {
	case CALL_OPEN:
		return syscall_argument(regs, 1, compat);
	case CALL_CREAT:
		return O_WRONLY | O_CREAT | O_TRUNC;
	case CALL_OPENAT2:
		return read_open_how(syscall_argument(regs, 2, compat));
	default:
		return syscall_argument(regs, 2, compat);
	}
}

/* Tail-called at the exit of the open calls. */
SEC("tp_btf/sys_exit")
int record_open(__u64 *ctx)
{
	struct pt_regs *regs = (struct pt_regs *)ctx[0];
	__s64 result = ctx[1];
	struct subject subject = {};
	enum call call;
	__u32 flags;
	bool compat;

	if (!select_current(&subject, result < 0 ? CLASS_OPEN_FAILED : CLASS_OPEN))
		return 0;
	compat = is_compat(subject.task);
	flags = compat ? RECORD_COMPAT : 0;
	if (result >= 0)
		return record_opened(&subject, file_at(subject.task, result), result, flags);

	call = call_of(regs, compat);
	if (call == CALL_OPEN_BY_HANDLE) /* a handle has no name to report */
		return record_open_failed(&subject, NULL, asked_flags(call, regs, compat), result,
					  flags);
	return record_open_failed(
		&subject,
		(void *)syscall_argument(regs, call == CALL_OPENAT || call == CALL_OPENAT2, compat),
		asked_flags(call, regs, compat), result, flags);
}

char LICENSE[] SEC("license") = LICENSE_TEXT;
