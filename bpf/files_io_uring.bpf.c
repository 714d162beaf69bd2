// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)
/*
 * Files opened through io_uring, which no system call shows. A completion runs
 * in the caller's task, one of its workers or its SQ thread: all share the
 * caller's files and memory.
 */
#include "opens.bpf.h"

#define IORING_OP_OPENAT  18
#define IORING_OP_OPENAT2 28
#define REQ_F_CQE_SKIP	  (1 << 6) /* = IOSQE_CQE_SKIP_SUCCESS */

static __always_inline bool is_open(struct io_kiocb *request)
{
	__u8 opcode = BPF_CORE_READ(request, opcode);

	return opcode == IORING_OP_OPENAT || opcode == IORING_OP_OPENAT2;
}

static __always_inline struct io_open *open_of(struct io_kiocb *request)
{
	return (void *)request + bpf_core_field_offset(struct io_kiocb, cmd);
}

/* The name as the caller holds it: by now the kernel's copy may be freed. */
static __always_inline const void *name_of(struct io_open *open)
{
	if (bpf_core_field_exists(struct filename, uptr))
		return BPF_CORE_READ(open, filename, uptr);
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
		return record_open_failed(&subject, name_of(open), BPF_CORE_READ(open, how.flags),
					  result, RECORD_IO_URING);
	slot = BPF_CORE_READ(open, file_slot);
	if (!slot)
		return record_opened(&subject, file_at(subject.task, result), result,
				     RECORD_IO_URING);
	return record_opened(
		&subject,
		direct_file_at(BPF_CORE_READ(request, ctx),
			       slot == IORING_FILE_INDEX_ALLOC ? (__u32)result : slot - 1),
		RESULT_UNKNOWN, RECORD_IO_URING);
}

SEC("tp_btf/io_uring_complete")
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
SEC("tp_btf/io_uring_submit_req")
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
	return record_open_asked(&subject, BPF_CORE_READ(open, filename, name),
				 BPF_CORE_READ(open, how.flags));
}

char LICENSE[] SEC("license") = LICENSE_TEXT;
