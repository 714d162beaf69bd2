// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)
/*
 * UDP: the first datagram of a socket to each peer, and the first that failed.
 * sock_send_length runs in the sender's task at the end of every send, however
 * it was asked for, and has the result; the peer comes from the first of
 *
 * - the packet, noted by its socket as it was queued to a device. It is the
 *   truth, but missing where nothing was queued yet (address resolution, a
 *   corked socket) or recognisable (IPsec), or nothing ever is (a firewall);
 * - the route looked up for this send, noted by CPU and taken only if thread
 *   and local port agree. Sockets without a connected peer look one up every
 *   time, but for multicast out of a chosen device, which the packet covers;
 * - the peer that the socket is connected to.
 *
 * Not seen: raw and packet sockets. After address translation on this machine
 * itself an unconnected socket's peer is the translated one. A peer pushed out
 * of `datagrams` by newer ones is recorded again.
 */
#ifdef LOADER_BCC
#define SILENT /* the stack is full, where bcc has the formats of log lines */
#endif
#include "network_packets.bpf.h"

#define EINTR	    4
#define EAGAIN	    11
#define ERESTARTSYS 512

struct datagram {
	__u64 inode; /* of the socket */
	__u8 peer_address[16];
	__u16 peer_port;
	__u16 failed;
	__u32 reserved;
};

/* Recorded already. */
MAP(datagrams, LRU_HASH, 32768, struct datagram, __u8);

/* Queued to a device, not recorded yet: until the end of its send. */
MAP(queued_datagrams, LRU_HASH, 4096, __u64 /* struct sock * */, struct ends);

/* The route looked up last on this CPU for a selected task's datagram. */
MAP(udp_routes, PERCPU_ARRAY, 1, __u32, struct ends);

static __always_inline bool current_selected(void)
{
	return selection_current(bpf_get_current_cgroup_id());
}

static __always_inline struct ends *route_here(void)
{
	__u32 zero = 0;

	return bpf_map_lookup_elem(&udp_routes, &zero);
}

/*
 * Where to note the route of what the current task sends, NULL where nobody
 * asked. The caller fills in the addresses, and the owner last.
 */
static __always_inline struct ends *begin_route(__u8 protocol, __be16 local_port, __be16 peer_port)
{
	struct ends *route;

	/* lookups for what comes in carry no ports */
	if (protocol != IPPROTO_UDP || !local_port)
		return NULL;
	if (!current_selected())
		return NULL;
	route = route_here();
	if (!route)
		return NULL; /* an array of one: cannot fail */
	route->local_port = bpf_ntohs(local_port);
	route->peer_port = bpf_ntohs(peer_port);
	return route;
}

PROGRAM(tracepoint, fib_table_lookup)
int BPF_PROG(note_route4, __u32 table, const struct flowi4 *flow)
{
	struct ends *route = begin_route(READ(flow, __fl_common.flowic_proto),
					 READ(flow, uli.ports.sport), READ(flow, uli.ports.dport));

	if (!route)
		return 0;
	set_ends4(route, READ(flow, saddr), READ(flow, daddr));
	route->owner = bpf_get_current_pid_tgid();
	return 0;
}

PROGRAM(tracepoint, fib6_table_lookup)
int BPF_PROG(note_route6, const void *net, const void *result, void *table,
	     const struct flowi6 *flow)
{
	struct ends *route = begin_route(READ(flow, __fl_common.flowic_proto),
					 READ(flow, uli.ports.sport), READ(flow, uli.ports.dport));
	struct in6_addr local, peer;

	if (!route)
		return 0;
	BPF_CORE_READ_INTO(&local, flow, saddr);
	BPF_CORE_READ_INTO(&peer, flow, daddr);
	set_ends6(route, &local, &peer);
	route->owner = bpf_get_current_pid_tgid();
	return 0;
}

static __always_inline bool recorded(const struct ends *ends, __u64 inode, bool failed)
{
	struct datagram key = {.inode = inode, .peer_port = ends->peer_port, .failed = failed};

	__builtin_memcpy(key.peer_address, ends->peer_address, 16);
	return bpf_map_lookup_elem(&datagrams, &key);
}

/* One datagram of the current task, unless its like was recorded or is not wanted. */
static __always_inline int record_ends(const struct ends *ends, __u64 inode, __s32 result)
{
	struct datagram key = {.inode = inode, .peer_port = ends->peer_port};
	struct network_record record = {};
	struct subject subject = {};
	__u8 present = 1;

	if (recorded(ends, inode, result < 0) || !select_current(&subject, CLASS_DATAGRAM))
		return 0;
	record.family = ends->family;
	record.protocol = IPPROTO_UDP;
	record.local_port = ends->local_port;
	record.peer_port = ends->peer_port;
	__builtin_memcpy(record.local_address, ends->local_address, 16);
	__builtin_memcpy(record.peer_address, ends->peer_address, 16);
	if (!wants_peer(&subject, &record) || !wants_port(&subject, record.peer_port))
		return 0;
	if (result < 0)
		record.result = result;
	key.failed = result < 0;
	__builtin_memcpy(key.peer_address, ends->peer_address, 16);
	bpf_map_update_elem(&datagrams, &key, &present, BPF_ANY);
	if (begin_record(&record.header, &subject, CLASS_DATAGRAM, sizeof(record)))
		submit_record(&record.header, sizeof(record));
	return 0;
}

/* The datagram in a packet that a selected task queues and that is new; the socket's inode number,
 * else 0. */
static __always_inline __u64 read_queued(struct ends *ends, struct sk_buff *skb)
{
	struct sock *sk = READ(skb, sk);
	__u64 inode;
	__u8 state;

	if (!sk)
		return 0;
	/* what stands for a connection request or its end is shorter than a socket */
	state = READ(sk, __sk_common.skc_state);
	if ((state != TCP_CLOSE && state != TCP_ESTABLISHED) ||
	    READ(sk, sk_protocol) != IPPROTO_UDP)
		return 0;
	if (!current_selected() || !read_packet(ends, skb))
		return 0;
	/* a tunnel's own packet around it has the same socket and other ports */
	if (ends->local_port != bpf_ntohs(BPF_CORE_READ((struct inet_sock *)sk, inet_sport)))
		return 0;
	inode = socket_inode(sk);
	return inode && !recorded(ends, inode, false) ? inode : 0;
}

PROGRAM(tracepoint, net_dev_queue)
int BPF_PROG(note_queued_datagram, struct sk_buff *skb)
{
	struct ends ends = {};
	__u64 key = (__u64)READ(skb, sk);

	ends.owner = read_queued(&ends, skb);
	if (ends.owner)
		bpf_map_update_elem(&queued_datagrams, &key, &ends, BPF_ANY);
	return 0;
}

/* Where sock_send_length does not exist (before 6.3): whose task it is and how it ended is less
 * sure. */
PROGRAM(tracepoint, net_dev_queue)
int BPF_PROG(record_queued_datagram, struct sk_buff *skb)
{
	struct ends ends = {};
	__u64 inode = read_queued(&ends, skb);

	return inode ? record_ends(&ends, inode, 0) : 0;
}

static __always_inline bool read_connected(struct ends *ends, const struct sock *sk)
{
	struct network_record record;

	if (!BPF_CORE_READ(sk, __sk_common.skc_dport) || !read_ends(&record, sk))
		return false;
	ends->family = record.family;
	ends->local_port = record.local_port;
	ends->peer_port = record.peer_port;
	__builtin_memcpy(ends->local_address, record.local_address, 16);
	__builtin_memcpy(ends->peer_address, record.peer_address, 16);
	return true;
}

PROGRAM(tracepoint, sock_send_length)
int BPF_PROG(record_datagram, struct sock *sk, int result)
{
	__u64 key = (__u64)sk, thread, inode;
	struct ends *known, ends = {};

	if (READ(sk, sk_protocol) != IPPROTO_UDP || !current_selected())
		return 0;
	inode = socket_inode(sk);
	known = bpf_map_lookup_elem(&queued_datagrams, &key);
	if (known && known->owner == inode) {
		ends = *known;
		bpf_map_delete_elem(&queued_datagrams, &key);
		return record_ends(&ends, inode, result);
	}
	/* nothing was sent, and trying again is all that is left */
	if (result == -EAGAIN || result == -EINTR || result == -ERESTARTSYS)
		return 0;
	known = route_here();
	thread = bpf_get_current_pid_tgid();
	if (known && known->owner == thread &&
	    known->local_port == bpf_ntohs(BPF_CORE_READ((struct inet_sock *)sk, inet_sport))) {
		ends = *known;
		known->owner = 0;
		return record_ends(&ends, inode, result);
	}
	return read_connected(&ends, sk) ? record_ends(&ends, inode, result) : 0;
}

DECLARE_LICENSE;
