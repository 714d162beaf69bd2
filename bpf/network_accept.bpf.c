// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)
/*
 * TCP connections taken by accept. The socket is made in softirq under
 * whatever task runs, so it is recorded where it gets its descriptor: at the
 * exit of the call, or at the completion of an io_uring request.
 */
#include "network.bpf.h"
#include "syscalls.bpf.h"

/* Multishot requests of a ring: their later completions no longer name the request. */
struct multishot {
	__u64 ring;
	__u64 user_data;
};

MAP(multishots, LRU_HASH, 1024, struct multishot, __u32 /* file_slot */);

static __always_inline bool is_tcp(const struct sock *sk)
{
	__u16 protocol = BPF_CORE_READ(sk, sk_protocol);

	return protocol == IPPROTO_TCP || protocol == IPPROTO_MPTCP;
}

static __always_inline int record_accepted(struct sock *sk, __u32 flags)
{
	struct network_record record = {};
	struct subject subject = {};

	if (!sk || !is_tcp(sk))
		return 0;
	if (!select_current(&subject, CLASS_ACCEPT) || !read_ends(&record, sk))
		return 0;
	if (!wants_peer(&subject, &record) || !wants_port(&subject, record.local_port))
		return 0;
	record.protocol = IPPROTO_TCP;
	if (!begin_record(&record.header, &subject, CLASS_ACCEPT, sizeof(record)))
		return 0;
	record.header.flags |= flags;
	submit_record(&record.header, sizeof(record));
	return 0;
}

/*
 * Somebody was accepted, or will be, and who cannot be told: recorded by the
 * socket that listens. No network can be held against it.
 */
static __always_inline int record_unknown_peer(struct file *file, __u32 flags)
{
	struct network_record record = {};
	struct sock *sk = sock_of(file);
	struct subject subject = {};

	if (!sk || !is_tcp(sk))
		return 0;
	if (!select_current(&subject, CLASS_ACCEPT) || !read_ends(&record, sk) ||
	    !wants_port(&subject, record.local_port))
		return 0;
	record.protocol = IPPROTO_TCP;
	record.result = RESULT_UNKNOWN;
	if (!begin_record(&record.header, &subject, CLASS_ACCEPT, sizeof(record)))
		return 0;
	record.header.flags |= RECORD_UNSETTLED | RECORD_UNREADABLE | flags;
	submit_record(&record.header, sizeof(record));
	return 0;
}

/* The descriptor that the call was given. */
static __always_inline __u32 listening_descriptor(struct pt_regs *regs, bool compat)
{
	__u32 descriptor = syscall_argument(regs, 0, compat);

	if (call_of(regs, compat) == CALL_SOCKETCALL &&
	    bpf_probe_read_user(&descriptor, sizeof(descriptor),
				(void *)syscall_argument(regs, 1, compat)))
		return -1;
	return descriptor;
}

/* HANDLER_ACCEPT: tail-called by dispatch_syscall, never attached. */
PROGRAM(tracepoint, sys_exit)
int record_accept_call(__u64 *ctx)
{
	struct task_struct *task = bpf_get_current_task_btf();
	struct pt_regs *regs = (struct pt_regs *)ctx[0];
	bool compat = is_compat(task);
	__u32 flags = compat ? RECORD_COMPAT : 0;
	__s64 descriptor = ctx[1];
	struct sock *sk;

	if (descriptor < 0)
		return 0;
	sk = sock_of(file_at(task, descriptor));
	if (sk && is_tcp(sk))
		return record_accepted(sk, flags);
	/* another thread may have closed it already, or put something else there */
	return record_unknown_peer(file_at(task, listening_descriptor(regs, compat)), flags);
}

static __always_inline struct io_accept *accept_of(struct io_kiocb *request)
{
	return (void *)request + bpf_core_field_offset(struct io_kiocb, cmd);
}

static __always_inline struct sock *completed(struct io_ring_ctx *ring, __u32 file_slot,
					      __s32 result)
{
	if (!file_slot)
		return sock_of(file_at(bpf_get_current_task_btf(), result));
	return sock_of(direct_file_at(ring, file_slot == IORING_FILE_INDEX_ALLOC ? (__u32)result :
										   file_slot - 1));
}

/* The last or only completion of a request. */
static __always_inline int record_completion(struct io_ring_ctx *ring, struct io_kiocb *request)
{
	struct multishot key = {.ring = (__u64)ring};
	struct sock *sk;
	__s32 result;

	if (BPF_CORE_READ(request, opcode) != IORING_OP_ACCEPT)
		return 0;
	if (BPF_CORE_READ(accept_of(request), iou_flags) & IORING_ACCEPT_MULTISHOT) {
		key.user_data = BPF_CORE_READ(request, cqe.user_data);
		bpf_map_delete_elem(&multishots, &key);
	}
	result = BPF_CORE_READ(request, cqe.res);
	if (result < 0)
		return 0;
	sk = completed(ring, BPF_CORE_READ(accept_of(request), file_slot), result);
	if (sk && is_tcp(sk))
		return record_accepted(sk, RECORD_IO_URING);
	return record_unknown_peer(BPF_CORE_READ(request, cmd.file), RECORD_IO_URING);
}

/* Kernels whose completion carries the entry itself: it is all that a multishot request leaves. */
PROGRAM(tracepoint, io_uring_complete)
int BPF_PROG(record_io_uring_accept, struct io_ring_ctx *ring, struct io_kiocb *request,
	     struct io_uring_cqe *entry)
{
	struct multishot key = {.ring = (__u64)ring, .user_data = READ(entry, user_data)};
	__s32 result = READ(entry, res);
	__u32 *file_slot;

	if (request)
		return record_completion(ring, request);
	if (result < 0)
		return 0;
	file_slot = bpf_map_lookup_elem(&multishots, &key);
	if (!file_slot)
		return 0;
	return record_accepted(completed(ring, *file_slot, result), RECORD_IO_URING);
}

/* Kernels before that: one completion, one request. */
PROGRAM(tracepoint, io_uring_complete)
int record_io_uring_single_accept(__u64 *ctx)
{
	struct io_kiocb *request = (void *)ctx[1];

	return request ? record_completion((void *)ctx[0], request) : 0;
}

PROGRAM(tracepoint, io_uring_submit_req)
int BPF_PROG(note_io_uring_multishot, struct io_kiocb *request)
{
	struct multishot key = {};
	struct io_accept *accept;
	__u32 file_slot;

	if (BPF_CORE_READ(request, opcode) != IORING_OP_ACCEPT)
		return 0;
	accept = accept_of(request);
	if (!(BPF_CORE_READ(accept, iou_flags) & IORING_ACCEPT_MULTISHOT))
		return 0;
	if (!selection_current(bpf_get_current_cgroup_id()))
		return 0;
	key.ring = (__u64)BPF_CORE_READ(request, ctx);
	key.user_data = BPF_CORE_READ(request, cqe.user_data);
	file_slot = BPF_CORE_READ(accept, file_slot);
	bpf_map_update_elem(&multishots, &key, &file_slot, BPF_ANY);
	return 0;
}

/*
 * A request that asks for no completion on success would leave no trace: it is
 * recorded as it is submitted. Whether anybody came, and from where, stays unknown.
 */
PROGRAM(tracepoint, io_uring_submit_req)
int BPF_PROG(record_io_uring_silent_accept, struct io_kiocb *request)
{
	struct file *file;
	__u32 fd;

	if (BPF_CORE_READ(request, opcode) != IORING_OP_ACCEPT ||
	    !(BPF_CORE_READ(request, flags) & REQ_F_CQE_SKIP))
		return 0;
	fd = BPF_CORE_READ(request, cqe.fd);
	file = BPF_CORE_READ(request, flags) & REQ_F_FIXED_FILE ?
		       direct_file_at(BPF_CORE_READ(request, ctx), fd) :
		       file_at(bpf_get_current_task_btf(), fd);
	return record_unknown_peer(file, RECORD_IO_URING);
}

DECLARE_LICENSE;
