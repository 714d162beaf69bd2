/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* UDP's addresses and ports as they stand in a packet on its way out. */
#ifndef PODCORDER_NETWORK_PACKETS_BPF_H
#define PODCORDER_NETWORK_PACKETS_BPF_H

#include "network.bpf.h"

#define ETH_P_IP	 0x0800
#define ETH_P_IPV6	 0x86DD
#define NEXTHDR_FRAGMENT 44
#define FRAGMENT_OFFSET4 0x1fff
#define FRAGMENT_OFFSET6 0xfff8

/* Both ends of one datagram. */
struct ends {
	__u64 owner; /* thread (route), or the socket's inode number (packet) */
	__u16 family;
	__u16 local_port;
	__u16 peer_port;
	__u16 reserved;
	__u8 local_address[16];
	__u8 peer_address[16];
};

struct ipv4_header {
	__u8 version_length, service;
	__be16 total, id, fragment;
	__u8 ttl, protocol;
	__u16 checksum;
	__u32 source, destination;
};

struct ipv6_header {
	__u32 version_flow;
	__be16 length;
	__u8 next, hops;
	struct in6_addr source, destination;
	/* where `next` says so */
	__u8 fragment_next, fragment_reserved;
	__be16 fragment;
};

static __always_inline void set_ends6(struct ends *ends, const struct in6_addr *local,
				      const struct in6_addr *peer)
{
	ends->family = AF_INET6;
	set_address(ends->local_address, local, false);
	set_address(ends->peer_address, peer, false);
}

static __always_inline void set_ends4(struct ends *ends, __u32 local, __u32 peer)
{
	ends->family = AF_INET;
	set_address4(ends->local_address, local);
	set_address4(ends->peer_address, peer);
}

/* The addresses of a packet that begins a UDP datagram; false: it is none. */
static __always_inline bool read_packet(struct ends *ends, struct sk_buff *skb)
{
	unsigned char *head = READ(skb, head);
	union {
		struct ipv4_header v4;
		struct ipv6_header v6;
	} ip;
	struct {
		__be16 source, destination;
	} udp;
	long failed;

	if (READ(skb, protocol) == bpf_htons(ETH_P_IP)) {
		failed = bpf_probe_read_kernel(&ip.v4, sizeof(ip.v4),
					       head + READ(skb, network_header));
		if (failed || ip.v4.protocol != IPPROTO_UDP ||
		    ip.v4.fragment & bpf_htons(FRAGMENT_OFFSET4))
			return false;
		set_ends4(ends, ip.v4.source, ip.v4.destination);
	} else if (READ(skb, protocol) == bpf_htons(ETH_P_IPV6)) {
		failed = bpf_probe_read_kernel(&ip.v6, sizeof(ip.v6),
					       head + READ(skb, network_header));
		if (failed ||
		    (ip.v6.next != IPPROTO_UDP &&
		     (ip.v6.next != NEXTHDR_FRAGMENT || ip.v6.fragment_next != IPPROTO_UDP ||
		      ip.v6.fragment & bpf_htons(FRAGMENT_OFFSET6))))
			return false;
		set_ends6(ends, &ip.v6.source, &ip.v6.destination);
	} else {
		return false;
	}
	if (bpf_probe_read_kernel(&udp, sizeof(udp), head + READ(skb, transport_header)))
		return false;
	ends->local_port = bpf_ntohs(udp.source);
	ends->peer_port = bpf_ntohs(udp.destination);
	return true;
}

#endif /* PODCORDER_NETWORK_PACKETS_BPF_H */
