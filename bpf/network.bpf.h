/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * What the network programs share: addresses from a socket, the filters on
 * them, and the way from a descriptor to its socket. An IPv4 address on an
 * IPv6 socket (::ffff:a.b.c.d) is recorded as the IPv4 it is on the wire.
 */
#ifndef PODCORDER_NETWORK_BPF_H
#define PODCORDER_NETWORK_BPF_H

#include "descriptors.bpf.h"
#include "records.bpf.h"

#define IPPROTO_TCP	6
#define IPPROTO_UDP	17
#define IPPROTO_MPTCP	262
#define TCP_ESTABLISHED 1
#define TCP_SYN_SENT	2
#define TCP_SYN_RECV	3
#define TCP_CLOSE	7
#define TCP_LISTEN	10
#define SHUTDOWN_MASK	3
#define SOCKFS_MAGIC	0x534F434B
#define MAPPED_MARK	bpf_htonl(0xffff)

#define IORING_OP_ACCEPT	13
#define IORING_OP_CONNECT	16
#define IORING_ACCEPT_MULTISHOT (1 << 0)
#define REQ_F_FIXED_FILE	(1 << 0)
#define REQ_F_CQE_SKIP		(1 << 6) /* = IOSQE_CQE_SKIP_SUCCESS */

static __always_inline bool is_mapped(const __u32 *words)
{
	return !words[0] && !words[1] && words[2] == MAPPED_MARK;
}

/* Copy an IPv6 address into a record's field, an IPv4 one inside it as itself. */
static __always_inline void set_address(__u8 *field, const struct in6_addr *address, bool mapped)
{
	__u32 *words = (__u32 *)field;

	words[0] = address->in6_u.u6_addr32[mapped ? 3 : 0];
	words[1] = mapped ? 0 : address->in6_u.u6_addr32[1];
	words[2] = mapped ? 0 : address->in6_u.u6_addr32[2];
	words[3] = mapped ? 0 : address->in6_u.u6_addr32[3];
}

static __always_inline void set_address4(__u8 *field, __u32 address)
{
	__u32 *words = (__u32 *)field;

	words[0] = address;
	words[1] = words[2] = words[3] = 0;
}

/* Both ends as the socket has them; false: neither IPv4 nor IPv6. */
static __always_inline bool read_ends(struct network_record *record, const struct sock *sk)
{
	struct in6_addr local, peer;
	__u32 *words = peer.in6_u.u6_addr32;
	bool mapped;

	record->family = BPF_CORE_READ(sk, __sk_common.skc_family);
	/* skc_num is 0 when a refusal is told, inet_sport still has the port */
	record->local_port = bpf_ntohs(BPF_CORE_READ((struct inet_sock *)sk, inet_sport));
	record->peer_port = bpf_ntohs(BPF_CORE_READ(sk, __sk_common.skc_dport));
	record->reserved = 0;
	if (record->family == AF_INET) {
		set_address4(record->local_address, BPF_CORE_READ(sk, __sk_common.skc_rcv_saddr));
		set_address4(record->peer_address, BPF_CORE_READ(sk, __sk_common.skc_daddr));
		return true;
	}
	if (record->family != AF_INET6)
		return false;
	BPF_CORE_READ_INTO(&local, sk, __sk_common.skc_v6_rcv_saddr);
	BPF_CORE_READ_INTO(&peer, sk, __sk_common.skc_v6_daddr);
	mapped = is_mapped(words);
	if (mapped)
		record->family = AF_INET;
	set_address(record->local_address, &local, mapped);
	set_address(record->peer_address, &peer, mapped);
	return true;
}

/* Of networks the longest prefix around the peer decides. */
static __always_inline bool wants_network(const struct subject *subject,
					  const struct network_record *record)
{
	const __u32 *words = (const __u32 *)record->peer_address;
	struct network_key key = {.prefix_bits = 32 + 128};
	__u32 *address = (__u32 *)key.address;
	__u32 *verdict;

	if (!(subject->slot->flags & SLOT_HAS_NETWORKS))
		return true;
	key.filter = bpf_htonl(subject->slot->filter);
	if (record->family == AF_INET) {
		address[2] = MAPPED_MARK;
		address[3] = words[0];
	} else {
		address[0] = words[0];
		address[1] = words[1];
		address[2] = words[2];
		address[3] = words[3];
	}
	verdict = bpf_map_lookup_elem(&networks, &key);
	if (!verdict)
		return !(subject->slot->flags & SLOT_NETWORKS_OUT);
	return *verdict == VERDICT_INCLUDE;
}

static __always_inline bool wants_peer(const struct subject *subject,
				       const struct network_record *record)
{
	bool wanted = wants_network(subject, record);

	if (!wanted)
		log_debug("peer filtered: port=%u pid=%u cgroup=%llu", record->peer_port, PID,
			  subject->cgroup_id);
	return wanted;
}

/* Of ports the first range that has it decides. */
__checked_once int wants_port_of(struct slot *slot, __u16 port)
{
	__u32 i;

	if (!slot)
		return false;
	for (i = 0; i < SLOT_PORTS; i++) {
		if (i >= slot->port_count)
			break;
		if (port >= slot->ports[i].first && port <= slot->ports[i].last)
			return slot->ports[i].verdict == VERDICT_INCLUDE;
	}
	return !(slot->flags & SLOT_PORTS_OUT);
}

static __always_inline bool wants_port(const struct subject *subject, __u16 port)
{
	bool wanted = wants_port_of(subject->slot, port);

	if (!wanted)
		log_debug("port filtered: port=%u pid=%u cgroup=%llu", port, PID,
			  subject->cgroup_id);
	return wanted;
}

/* The socket's inode number tells it from a later one at the same address; 0: it has no file. */
static __always_inline __u64 socket_inode(const struct sock *sk)
{
	return READ(sk, sk_socket, file, f_inode, i_ino);
}

/* The socket of a file, NULL where the file is none. */
static __always_inline struct sock *sock_of(struct file *file)
{
	struct socket *socket;

	if (!file || BPF_CORE_READ(file, f_inode, i_sb, s_magic) != SOCKFS_MAGIC)
		return NULL;
	socket = BPF_CORE_READ(file, private_data);
	return BPF_CORE_READ(socket, sk);
}

#endif /* PODCORDER_NETWORK_BPF_H */
