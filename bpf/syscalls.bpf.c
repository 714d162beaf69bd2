// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)
/*
 * One program at the exit of every system call, for all capabilities. It sees
 * what tp/syscalls tracepoints do not: 32-bit calls, int 0x80. Each capability
 * puts its handler into the program array; what none wants returns at once.
 */
#include "syscalls.bpf.h"

/* An array of programs takes those of one kind alone. */
#ifdef RAW_TRACEPOINTS
#define HANDLERS raw_syscall_handlers
MAP(raw_syscall_handlers, PROG_ARRAY, HANDLER_COUNT, __u32, __u32);
#else
#define HANDLERS syscall_handlers
MAP(syscall_handlers, PROG_ARRAY, HANDLER_COUNT, __u32, __u32);
#endif

static __always_inline __u32 handler_of(enum call call, struct pt_regs *regs)
{
	__u32 which;

	switch (call) {
	case CALL_OPEN:
	case CALL_CREAT:
	case CALL_OPENAT:
	case CALL_OPENAT2:
	case CALL_OPEN_BY_HANDLE:
		return HANDLER_OPEN;
	case CALL_EXECVE:
	case CALL_EXECVEAT:
		return HANDLER_EXEC;
	case CALL_ACCEPT:
		return HANDLER_ACCEPT;
	case CALL_CONNECT:
		return HANDLER_CONNECT;
	case CALL_SOCKETCALL:
		which = syscall_argument(regs, 0, true);
		if (which == SOCKETCALL_CONNECT)
			return HANDLER_CONNECT;
		return which == SOCKETCALL_ACCEPT || which == SOCKETCALL_ACCEPT4 ? HANDLER_ACCEPT :
										   HANDLER_NONE;
	default:
		return HANDLER_NONE;
	}
}

PROGRAM(tracepoint, sys_exit)
int dispatch_syscall(__u64 *ctx)
{
	struct pt_regs *regs = (struct pt_regs *)ctx[0];
	__u32 handler;
	bool compat;
#if defined(__TARGET_ARCH_x86)
	__u32 number = READ(regs, orig_ax); /* a BTF pointer: no helper call on this hottest path */
#else
	__u32 number = READ(regs, syscallno);
#endif

	if (!may_concern(number))
		return 0;
	compat = is_compat(bpf_get_current_task_btf());
	handler = handler_of(compat ? compat_call(number) : native_call(number), regs);
	if (handler != HANDLER_NONE)
		bpf_tail_call(ctx, &HANDLERS, handler);
	return 0; /* not wanted by any capability that is on */
}

DECLARE_LICENSE;
