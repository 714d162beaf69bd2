// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)
/*
 * Opened files. The path is that of the file behind the descriptor, so a caller
 * cannot name one file and open another.
 *
 * System calls of either ABI are seen at the exit of the functions that do
 * their work, or at the exit of every system call; both make the same records,
 * but for an openat2 whose struct open_how the kernel refuses: it never gets as
 * far as those functions. io_uring's opens are seen at its tracepoints.
 */
#include "opens.bpf.h"
#include "syscalls.bpf.h"

#define IORING_OP_OPENAT  18
#define IORING_OP_OPENAT2 28
#define REQ_F_CQE_SKIP	  (1 << 6) /* = IOSQE_CQE_SKIP_SUCCESS */

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

/* `regs` are the caller's, as they are until the call returns to it. */
static __always_inline int record_call(enum open_program program, struct pt_regs *regs,
				       __s32 result)
{
	struct subject subject = {};
	enum call call;
	__u32 flags;
	bool compat;

	if (!select_current(&subject, result < 0 ? CLASS_OPEN_FAILED : CLASS_OPEN))
		return 0;
	compat = is_compat(subject.task);
	flags = compat ? RECORD_COMPAT : 0;
	if (result >= 0)
		return record_opened(program, &subject, file_at(subject.task, result), result,
				     flags);

	call = call_of(regs, compat);
	if (call == CALL_OPEN_BY_HANDLE) /* a handle has no name to report */
		return record_open_failed(program, &subject, NULL, asked_flags(call, regs, compat),
					  result, flags);
	return record_open_failed(
		program, &subject,
		(void *)syscall_argument(regs, call == CALL_OPENAT || call == CALL_OPENAT2, compat),
		asked_flags(call, regs, compat), result, flags);
}

/* Tail-called at the exit of the open calls. */
PROGRAM(tracepoint, sys_exit)
int record_open(__u64 *ctx)
{
	return record_call(OPEN_SYSCALL, (struct pt_regs *)ctx[0], ctx[1]);
}

/* What open, creat, openat and openat2 have in common, and nothing else. */
PROGRAM(function_exit, do_sys_openat2)
int BPF_PROG(record_named_open, int directory, const char *name, struct open_how *how, long result)
{
	return record_call(OPEN_NAMED, current_regs(), result);
}

PROGRAM(function_exit, do_handle_open)
int BPF_PROG(record_handle_open, int mount, void *handle, int asked, long result)
{
	return record_call(OPEN_HANDLE, current_regs(), result);
}

/*
 * A completion runs in the caller's task, one of its workers or its SQ thread:
 * all share the caller's files and memory.
 */
static __always_inline bool is_open(struct io_kiocb *request)
{
	__u8 opcode = BPF_CORE_READ(request, opcode);

	return opcode == IORING_OP_OPENAT || opcode == IORING_OP_OPENAT2;
}

static __always_inline struct io_open *open_of(struct io_kiocb *request)
{
	return (void *)request + bpf_core_field_offset(struct io_kiocb, cmd);
}

#ifndef LOADER_BCC
/* From 7.0 on the pointer stands in a structure. bcc knows where, and asks for no types. */
struct io_open___wrapped {
	struct {
		struct filename *__incomplete_filename;
	} filename;
} __attribute__((preserve_access_index));
#endif

static __always_inline struct filename *filename_of(struct io_open *open)
{
#ifndef LOADER_BCC
	struct io_open___wrapped *wrapped = (void *)open;

	if (bpf_core_field_exists(wrapped->filename.__incomplete_filename))
		return BPF_CORE_READ(wrapped, filename.__incomplete_filename);
#endif
	return BPF_CORE_READ(open, filename);
}

/* The name as the caller holds it: by now the kernel's copy may be freed. */
static __always_inline const void *name_of(struct io_open *open)
{
	if (HAS_FIELD(filename, uptr))
		return BPF_CORE_READ(filename_of(open), uptr);
	return NULL;
}

static __always_inline int record_completion(struct io_kiocb *request)
{
	__s32 result = BPF_CORE_READ(request, cqe.res);
	struct io_open *open = open_of(request);
	struct subject subject = {};
	__u32 slot;

	if (!select_current(&subject, result < 0 ? CLASS_OPEN_FAILED : CLASS_OPEN))
		return 0;
	if (result < 0)
		return record_open_failed(OPEN_COMPLETED, &subject, name_of(open),
					  BPF_CORE_READ(open, how.flags), result, RECORD_IO_URING);
	slot = BPF_CORE_READ(open, file_slot);
	if (!slot)
		return record_opened(OPEN_COMPLETED, &subject, file_at(subject.task, result),
				     result, RECORD_IO_URING);
	return record_opened(
		OPEN_COMPLETED, &subject,
		direct_file_at(BPF_CORE_READ(request, ctx),
			       slot == IORING_FILE_INDEX_ALLOC ? (__u32)result : slot - 1),
		RESULT_UNKNOWN, RECORD_IO_URING);
}

PROGRAM(tracepoint, io_uring_complete)
int record_io_uring_open(__u64 *ctx)
{
	struct io_kiocb *request = (void *)ctx[1];

	if (request && is_open(request))
		record_completion(request);
	return 0;
}

/*
 * A request that asks for no completion on success would leave no trace: it is
 * recorded as it is submitted, by the name asked for. If it then fails, the
 * failure is recorded too.
 */
PROGRAM(tracepoint, io_uring_submit_req)
int record_io_uring_silent_open(__u64 *ctx)
{
	struct io_kiocb *request = (void *)ctx[0];
	struct subject subject = {};
	struct io_open *open;

	if (!is_open(request) || !(BPF_CORE_READ(request, flags) & REQ_F_CQE_SKIP))
		return 0;
	if (!select_current(&subject, CLASS_OPEN))
		return 0;
	open = open_of(request);
	return record_open_asked(OPEN_SUBMITTED, &subject, BPF_CORE_READ(filename_of(open), name),
				 BPF_CORE_READ(open, how.flags));
}

DECLARE_LICENSE;
