/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * System calls by what they do, whatever the ABI they came through. Numbers
 * from arch/x86/entry/syscalls/syscall_{64,32}.tbl, include/uapi/asm-generic/
 * unistd.h and arch/arm/tools/syscall.tbl.
 */
#ifndef PODCORDER_SYSCALLS_BPF_H
#define PODCORDER_SYSCALLS_BPF_H

#include "maps.bpf.h"

enum call {
	CALL_OTHER,
	CALL_OPEN,	     /* path, flags */
	CALL_CREAT,	     /* path */
	CALL_OPENAT,	     /* dirfd, path, flags */
	CALL_OPENAT2,	     /* dirfd, path, struct open_how * */
	CALL_OPEN_BY_HANDLE, /* mountfd, handle, flags */
	CALL_EXECVE,	     /* path, argv */
	CALL_EXECVEAT,	     /* dirfd, path, argv */
	CALL_ACCEPT,	     /* fd, returns the new fd */
	CALL_CONNECT,	     /* fd, address, length */
	CALL_SOCKETCALL,     /* ia32: which, arguments */
};

#define SOCKETCALL_CONNECT 3
#define SOCKETCALL_ACCEPT  5
#define SOCKETCALL_ACCEPT4 18
#define TS_COMPAT	   0x0002 /* x86 thread_info.status: in a 32-bit call */
#define TIF_32BIT	   22	  /* arm64 thread_info.flags: a 32-bit task */
#define X32_BIT		   0x40000000

static __always_inline bool is_compat(struct task_struct *task)
{
#if defined(__TARGET_ARCH_x86)
	return READ(task, thread_info.status) & TS_COMPAT;
#else
	return READ(task, thread_info.flags) & (1UL << TIF_32BIT);
#endif
}

/* The caller's registers, for a program that is not handed them. From 5.15 on. */
static __always_inline struct pt_regs *current_regs(void)
{
	return (void *)bpf_task_pt_regs(bpf_get_current_task_btf());
}

/*
 * The same before 5.15, for kernels whose stacks have the usual size. Of another
 * size what is found is no system call's.
 */
#ifdef RAW_TRACEPOINTS
#define HAS_STACK_REGS 1
#define THREAD_SIZE    16384

static __always_inline struct pt_regs *regs_on_stack(struct task_struct *task)
{
	return BPF_CORE_READ(task, stack) + THREAD_SIZE - bpf_core_type_size(struct pt_regs);
}
#else
#define HAS_STACK_REGS	    0
#define regs_on_stack(task) NULL
#endif

#if defined(__TARGET_ARCH_x86)

static __always_inline enum call native_call(__u32 number)
{
	switch (number & ~X32_BIT) {
	case 2:
		return CALL_OPEN;
	case 85:
		return CALL_CREAT;
	case 257:
		return CALL_OPENAT;
	case 437:
		return CALL_OPENAT2;
	case 304:
		return CALL_OPEN_BY_HANDLE;
	case 59:
	case 520:
		return CALL_EXECVE;
	case 322:
	case 545:
		return CALL_EXECVEAT;
	case 43:
	case 288:
		return CALL_ACCEPT;
	case 42:
		return CALL_CONNECT;
	default:
		return CALL_OTHER;
	}
}

static __always_inline enum call compat_call(__u32 number)
{
	switch (number) {
	case 5:
		return CALL_OPEN;
	case 8:
		return CALL_CREAT;
	case 295:
		return CALL_OPENAT;
	case 437:
		return CALL_OPENAT2;
	case 342:
		return CALL_OPEN_BY_HANDLE;
	case 11:
		return CALL_EXECVE;
	case 358:
		return CALL_EXECVEAT;
	case 364:
		return CALL_ACCEPT;
	case 362:
		return CALL_CONNECT;
	case 102:
		return CALL_SOCKETCALL;
	default:
		return CALL_OTHER;
	}
}

static __always_inline __u32 syscall_number(struct pt_regs *regs)
{
	return BPF_CORE_READ(regs, orig_ax);
}

static __always_inline __u64 syscall_argument(struct pt_regs *regs, int n, bool compat)
{
	if (compat)
		return (__u32)(n == 0 ? BPF_CORE_READ(regs, bx) :
			       n == 1 ? BPF_CORE_READ(regs, cx) :
			       n == 2 ? BPF_CORE_READ(regs, dx) :
					BPF_CORE_READ(regs, si));
	return n == 0 ? BPF_CORE_READ(regs, di) :
	       n == 1 ? BPF_CORE_READ(regs, si) :
	       n == 2 ? BPF_CORE_READ(regs, dx) :
			BPF_CORE_READ(regs, r10);
}

#else /* arm64 */

static __always_inline enum call native_call(__u32 number)
{
	switch (number) {
	case 56:
		return CALL_OPENAT;
	case 437:
		return CALL_OPENAT2;
	case 265:
		return CALL_OPEN_BY_HANDLE;
	case 221:
		return CALL_EXECVE;
	case 281:
		return CALL_EXECVEAT;
	case 202:
	case 242:
		return CALL_ACCEPT;
	case 203:
		return CALL_CONNECT;
	default:
		return CALL_OTHER;
	}
}

static __always_inline enum call compat_call(__u32 number)
{
	switch (number) {
	case 5:
		return CALL_OPEN;
	case 8:
		return CALL_CREAT;
	case 322:
		return CALL_OPENAT;
	case 437:
		return CALL_OPENAT2;
	case 371:
		return CALL_OPEN_BY_HANDLE;
	case 11:
		return CALL_EXECVE;
	case 387:
		return CALL_EXECVEAT;
	case 285:
	case 366:
		return CALL_ACCEPT;
	case 283:
		return CALL_CONNECT;
	default:
		return CALL_OTHER;
	}
}

static __always_inline __u32 syscall_number(struct pt_regs *regs)
{
	return BPF_CORE_READ(regs, syscallno);
}

static __always_inline __u64 syscall_argument(struct pt_regs *regs, int n, bool compat)
{
	/* x0 holds the result by now; the kernel keeps the first argument aside */
	__u64 value = n == 0 ? BPF_CORE_READ(regs, orig_x0) : BPF_CORE_READ(regs, regs[n & 7]);

	return compat ? (__u32)value : value;
}

#endif

/* Any call that either ABI could mean by this number: few enough to look closer at. */
static __always_inline bool may_concern(__u32 number)
{
	return native_call(number) != CALL_OTHER || compat_call(number) != CALL_OTHER;
}

static __always_inline enum call call_of(struct pt_regs *regs, bool compat)
{
	__u32 number = syscall_number(regs);

	return compat ? compat_call(number) : native_call(number);
}

#endif /* PODCORDER_SYSCALLS_BPF_H */
