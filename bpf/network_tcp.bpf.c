// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)
/*
 * TCP: connects with their outcome, and listens, from the socket's changes of
 * state. That sees every way in: connect, 32-bit calls, io_uring, fast open.
 * The outcome comes in softirq or in the idle task, so the caller is
 * remembered by socket from SYN_SENT on.
 *
 * A connect that never reaches SYN_SENT (no route, refused by a security
 * module or a cgroup program) changes no state; neither does the error of one
 * that fails in the call after SYN_SENT (no free port) show in the socket.
 * Route lookups would tell the former without saying which error the caller
 * got, so both are taken at the exit of the call: exact, and next to free
 * beside the handlers that sit there already. Not seen: an MPTCP connect that
 * fails before its first packet.
 */
#include "network.bpf.h"
#include "syscalls.bpf.h"

#define EINTR		 4
#define EBADF		 9
#define EAGAIN		 11
#define EFAULT		 14
#define ENOTSOCK	 88
#define ECONNABORTED	 103
#define EISCONN		 106
#define EALREADY	 114
#define EINPROGRESS	 115
#define ERESTARTSYS	 512 /* and the four after it: the call goes on */
#define SOCKADDR_IN_SIZE 16
#define SOCKADDR_IN6_MIN 24 /* SIN6_LEN_RFC2133 */

struct connecting {
	struct network_record record;
	__u64 since; /* boottime ns */
	__u64 over;  /* failed inside the call, whose exit has the error */
};

MAP(connecting, HASH, 16384, __u64 /* struct sock * */, struct connecting);

/* Failures recorded already, so that the call which reports one does not record it again. */
MAP(failed_connects, LRU_HASH, 4096, __u64 /* struct sock * */, __u64 /* its inode number */);

static __always_inline void remember_connect(const struct sock *sk)
{
	struct connecting begun = {};
	struct subject subject = {};
	__u64 key = (__u64)sk;

	if (!select_current(&subject, CLASS_CONNECT) || !read_ends(&begun.record, sk) ||
	    !wants_peer(&subject, &begun.record) || !wants_port(&subject, begun.record.peer_port)) {
		/* a socket that was here before may have left its caller behind */
		bpf_map_delete_elem(&connecting, &key);
		return;
	}
	begun.record.protocol = IPPROTO_TCP;
	remember_subject(&begun.record.header, &subject);
	begun.since = bpf_ktime_get_boot_ns();
	if (bpf_map_update_elem(&connecting, &key, &begun, BPF_ANY))
		count_generated_lost(CLASS_CONNECT, LOSS_MAP_FULL);
}

/* The entry is the socket's alone while the socket is locked: the record goes out from where it is.
 */
static __always_inline void submit_connect(struct connecting *begun, __s32 result)
{
	struct network_record *record = &begun->record;

	record->result = result;
	if (!begin_remembered(&record->header, CLASS_CONNECT, sizeof(*record)))
		return;
	record->latency = record->header.time - begun->since;
	submit_record(&record->header, sizeof(*record));
}

/*
 * Whether the current task is in connect(), at whose exit the error shows. Where
 * the kernel cannot tell (typed, before 5.15) and within io_uring the answer is no.
 */
static __always_inline bool in_connect(void)
{
	struct task_struct *task = bpf_get_current_task_btf();
	bool compat = is_compat(task);
	struct pt_regs *regs;
	enum call call;

	if (HAS_HELPER(task_pt_regs))
		regs = (void *)bpf_task_pt_regs(task);
	else if (HAS_STACK_REGS)
		regs = regs_on_stack(task);
	else
		return false;
	call = call_of(regs, compat);
	return call == CALL_CONNECT ||
	       (call == CALL_SOCKETCALL && syscall_argument(regs, 0, true) == SOCKETCALL_CONNECT);
}

/* Known since the first packet went. */
static __always_inline void set_local_port(struct connecting *begun, const struct sock *sk)
{
	begun->record.local_port = bpf_ntohs(BPF_CORE_READ((struct inet_sock *)sk, inet_sport));
}

static __always_inline void end_connect(const struct sock *sk, int state)
{
	__u64 key = (__u64)sk, inode;
	struct connecting *begun = bpf_map_lookup_elem(&connecting, &key);
	__s32 error = 0;

	if (!begun)
		return;
	set_local_port(begun, sk);
	if (state != TCP_ESTABLISHED) {
		inode = socket_inode(sk);
		error = READ(sk, sk_err);
		/* torn down inside connect(), or else closed or shut down by its owner */
		if (!error && READ(sk, sk_shutdown) != SHUTDOWN_MASK && inode && in_connect()) {
			begun->over = true;
			return;
		}
		if (!error)
			error = ECONNABORTED;
		if (inode)
			bpf_map_update_elem(&failed_connects, &key, &inode, BPF_ANY);
	}
	submit_connect(begun, -error);
	bpf_map_delete_elem(&connecting, &key);
}

static __always_inline int record_listen(const struct sock *sk)
{
	struct network_record record = {};
	struct subject subject = {};

	if (!select_current(&subject, CLASS_LISTEN) || !read_ends(&record, sk))
		return 0;
	if (!wants_port(&subject, record.local_port))
		return 0;
	record.protocol = IPPROTO_TCP;
	if (begin_record(&record.header, &subject, CLASS_LISTEN, sizeof(record)))
		submit_record(&record.header, sizeof(record));
	return 0;
}

PROGRAM(tracepoint, inet_sock_set_state)
int BPF_PROG(record_tcp_state, const struct sock *sk, int from, int to)
{
	if (READ(sk, sk_protocol) != IPPROTO_TCP)
		return 0;
	if (to == TCP_SYN_SENT)
		remember_connect(sk);
	else if (to == TCP_LISTEN)
		return record_listen(sk);
	/* both ends may open at once: SYN_SENT, SYN_RECV, ESTABLISHED */
	else if ((from == TCP_SYN_SENT || from == TCP_SYN_RECV) && to != TCP_SYN_RECV)
		end_connect(sk, to);
	return 0;
}

/* The call only waits, was interrupted, or was no attempt at all. */
static __always_inline bool says_nothing(__s64 error)
{
	return error == EINPROGRESS || error == EALREADY || error == EISCONN || error == EINTR ||
	       error == EAGAIN || error == EFAULT || error == EBADF || error == ENOTSOCK ||
	       (error >= ERESTARTSYS && error <= ERESTARTSYS + 4);
}

/* The peer asked for, from the caller's memory; false: no IPv4 or IPv6 address is there. */
static __always_inline bool read_asked(struct network_record *record, const void *address,
				       __u32 length)
{
	/* sockaddr_in6: family, port, flow, address, scope; sockaddr_in has its address where flow
	 * is */
	struct {
		__u16 family;
		__be16 port;
		__u32 address4;
		struct in6_addr address6;
	} asked = {};
	bool mapped;

	if (length < SOCKADDR_IN_SIZE || bpf_probe_read_user(&asked, 8, address))
		return false;
	record->peer_port = bpf_ntohs(asked.port);
	if (asked.family == AF_INET) {
		record->family = AF_INET;
		set_address4(record->peer_address, asked.address4);
		return true;
	}
	if (asked.family != AF_INET6 || length < SOCKADDR_IN6_MIN ||
	    bpf_probe_read_user(&asked.address6, 16, address + 8))
		return false;
	mapped = is_mapped(asked.address6.in6_u.u6_addr32);
	record->family = mapped ? AF_INET : AF_INET6;
	set_address(record->peer_address, &asked.address6, mapped);
	return true;
}

/*
 * Whether an attempt that nobody took for over is over all the same: the kernel
 * skips runs, such as those that would interrupt another of the same program.
 */
static __always_inline bool ended_unseen(const struct sock *sk)
{
	__u8 state = BPF_CORE_READ(sk, __sk_common.skc_state);

	return state != TCP_SYN_SENT && state != TCP_SYN_RECV;
}

/* A connect call has ended: what the socket's states did not tell. */
static __always_inline int record_connect_end(struct file *file, const void *address, __u32 length,
					      __s64 result, __u32 flags)
{
	struct network_record record = {};
	struct subject subject = {};
	struct connecting *begun;
	struct sock *sk = sock_of(file);
	__u64 key = (__u64)sk, *inode;

	if (!sk || BPF_CORE_READ(sk, sk_protocol) != IPPROTO_TCP || says_nothing(-result))
		return 0;
	begun = bpf_map_lookup_elem(&connecting, &key);
	if (begun && (begun->over || ended_unseen(sk))) {
		/* over, no error: the caller took its attempt back by connecting to AF_UNSPEC */
		result = begun->over && !result ? -ECONNABORTED : result;
		set_local_port(begun, sk);
		begun->record.header.flags |= flags;
		submit_connect(begun, result);
		bpf_map_delete_elem(&connecting, &key);
		return 0;
	}
	if (!result)
		return 0;
	inode = bpf_map_lookup_elem(&failed_connects, &key);
	if (inode && *inode == BPF_CORE_READ(file, f_inode, i_ino)) {
		bpf_map_delete_elem(&failed_connects, &key);
		return 0;
	}
	if (!select_current(&subject, CLASS_CONNECT) || !read_ends(&record, sk) ||
	    !read_asked(&record, address, length) || !wants_peer(&subject, &record) ||
	    !wants_port(&subject, record.peer_port))
		return 0;
	record.protocol = IPPROTO_TCP;
	record.result = result;
	if (!begin_record(&record.header, &subject, CLASS_CONNECT, sizeof(record)))
		return 0;
	record.header.flags |= RECORD_UNSETTLED | flags;
	submit_record(&record.header, sizeof(record));
	return 0;
}

/* HANDLER_CONNECT: tail-called by dispatch_syscall, never attached. */
PROGRAM(tracepoint, sys_exit)
int record_connect_call(__u64 *ctx)
{
	struct task_struct *task = bpf_get_current_task_btf();
	struct pt_regs *regs = (struct pt_regs *)ctx[0];
	__s64 result = ctx[1];
	bool compat = is_compat(task);
	__u64 arguments[3];
	__u32 packed[3];

	if (says_nothing(-result))
		return 0;
	arguments[0] = syscall_argument(regs, 0, compat);
	arguments[1] = syscall_argument(regs, 1, compat);
	arguments[2] = syscall_argument(regs, 2, compat);
	if (call_of(regs, compat) == CALL_SOCKETCALL) {
		if (bpf_probe_read_user(packed, sizeof(packed), (void *)arguments[1]))
			return 0;
		arguments[0] = packed[0];
		arguments[1] = packed[1];
		arguments[2] = packed[2];
	}
	return record_connect_end(file_at(task, arguments[0]), (void *)arguments[1], arguments[2],
				  result, compat ? RECORD_COMPAT : 0);
}

PROGRAM(tracepoint, io_uring_complete)
int record_io_uring_connect(__u64 *ctx)
{
	struct io_kiocb *request = (void *)ctx[1];
	struct io_connect *connect;

	if (!request || BPF_CORE_READ(request, opcode) != IORING_OP_CONNECT)
		return 0;
	connect = (void *)request + bpf_core_field_offset(struct io_kiocb, cmd);
	return record_connect_end(BPF_CORE_READ(request, cmd.file), BPF_CORE_READ(connect, addr),
				  BPF_CORE_READ(connect, addr_len), BPF_CORE_READ(request, cqe.res),
				  RECORD_IO_URING);
}

DECLARE_LICENSE;
