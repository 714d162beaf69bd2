/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * The maps all programs share. The loader pins every one by its name, so each
 * object that includes this file is given the same maps.
 */
#ifndef PODCORDER_MAPS_BPF_H
#define PODCORDER_MAPS_BPF_H

#include "compat.bpf.h"
#include "record.h"

#define SLOT_COUNT	    64
#define SLOT_PENDING	    63 /* what is held for containers not yet known */
#define SLOT_PORTS	    16
#define FILTER_PATH_SIZE    248	  /* an LPM trie's key ends at 256 bytes of data */
#define FILTER_ENTRIES	    32768 /* 256 of each slot, on both sides; they are made as needed */
#define RECORDER_TIMEOUT_NS (600ULL * 1000000000)
#define RECORDER_FAILED_NS  (30ULL * 1000000000) /* after its last heartbeat; see endings.bpf.c */

/* One value, written by the recorder alone but for nothing. */
struct state {
	__u64 heartbeat; /* boottime ns, each second */
	__u64 loaded;	 /* boottime ns */
	__u64 generation;
	__u64 pending_bytes;  /* budget of a pending container */
	__u32 pending_events; /* bit per record class; 0: nothing is held */
	__u32 pending_seconds;
	__u32 logins; /* 1: logins on the node are recorded, as cgroups[LOGIN] says */
	__u32 reserved;
};

/* Per CPU. Programs nest on a CPU, so every addition is atomic. */
struct counters {
	__u64 sequence;
	__u64 generated[CLASS_COUNT];
	__u64 lost[CLASS_COUNT][LOSS_REASON_COUNT];
};

#define SLOT_HAS_PATHS	  (1 << 0)
#define SLOT_PATHS_OUT	  (1 << 1) /* a path that matches nothing is left out */
#define SLOT_HAS_NETWORKS (1 << 2)
#define SLOT_NETWORKS_OUT (1 << 3)
#define SLOT_PORTS_OUT	  (1 << 4)
#define SLOT_SKIPS_OWN	  (1 << 5) /* containers' own sessions are not recorded */
#define SLOT_ENDS_EXEC	  (1 << 6) /* when the recorder fails, what was entered from outside */
#define SLOT_ENDS_DEBUG	  (1 << 7) /* and debug containers */

#define ACCESS_READ  (1 << 0)
#define ACCESS_WRITE (1 << 1)

enum verdict {
	VERDICT_NONE = 0,
	VERDICT_INCLUDE = 1,
	VERDICT_EXCLUDE = 2,
};

struct port_range {
	__u16 first;
	__u16 last;
	__u32 verdict;
};

struct slot {
	__u32 events;	  /* bit per record class */
	__u32 access;	  /* ACCESS_* that is recorded */
	__u32 flags;	  /* SLOT_* */
	__u32 rate_limit; /* records per second and cgroup; 0 none */
	__u32 port_count;
	__u32 filter; /* which entries of paths and networks are its own */
	struct port_range ports[SLOT_PORTS];
};

/* The recorder fills the side that is not in use, then turns: one store, and all is new. */
struct slot_sides {
	__u32 current; /* 0 or 1 */
	__u32 reserved;
	struct slot sides[2];
};

#define SELECTION_PENDING  (1 << 0)
#define SELECTION_EXCLUDED (1 << 1)
#define SELECTION_WATCHED  (1 << 2) /* seen made: nothing in it is older */
#define SELECTION_RUNTIME  (1 << 3) /* a runtime enters it, and then execs what it is to run */
#define SELECTION_OUTSIDE  (1 << 4) /* excluded, and no container: logins in it are recorded */
#define SELECTION_DEBUG	   (1 << 5) /* a debug container: its own session is somebody's */

/*
 * A login on the node stands in a container's place: this bit, which no cgroup's
 * id has, then the login uid and 31 bits of the audit session's number, which the
 * kernel counts from 1. The bit alone is the key of the selection of all logins.
 */
#define LOGIN		   (1ULL << 63)
#define LOGIN_SESSION_BITS 31

struct selection {
	__u64 container_id; /* cgroup id of the subtree's top */
	__u64 since;	    /* boottime ns */
	__u64 pending_used; /* bytes */
	__u64 window_start; /* of the rate limit, boottime ns */
	__u32 window_count;
	__u32 slot;
	__u32 flags; /* SELECTION_* */
	__u32 reserved;
};

#define SESSION_IGNORE	 (1 << 0) /* the recorder's and the exporter's own */
#define SESSION_PARTIAL	 (1 << 1) /* the root is older than its selection */
#define SESSION_ENTERING (1 << 2) /* entered from outside, nothing executed inside yet */
#define SESSION_OWN	 (1 << 3) /* the container's own */
#define SESSION_DOUBTED	 (1 << 4) /* a login that another's process began */
#define SESSION_MOVED	 (1 << 5) /* the root was moved here out of another container */

struct session {
	__u64 container_id;
	__u64 session_start;
	__u64 process_start;
	__u32 session_root;
	__u32 flags; /* SESSION_* */
};

/* The process that began a container's own session, or a login. */
struct root {
	__u64 start; /* start_boottime, ns; of a login, when it was seen first */
	__u32 tgid;
	__u32 flags; /* SESSION_*: of a login; SESSION_OWN of an init */
};

struct path_key {
	__u32 prefix_bits;
	__u32 filter; /* big-endian: the trie compares bytes in order */
	__u8 path[FILTER_PATH_SIZE];
};

struct network_key {
	__u32 prefix_bits;
	__u32 filter;	  /* big-endian */
	__u8 address[16]; /* IPv4 as ::ffff:a.b.c.d */
};

/* What dispatch_syscall tail-calls for a group of system calls. */
enum syscall_handler {
	HANDLER_EXEC = 0,
	HANDLER_OPEN = 1,
	HANDLER_ACCEPT = 2,
	HANDLER_CONNECT = 3,
	HANDLER_COUNT = 8,
	HANDLER_NONE = 255,
};

RING(events, 8 * 1024 * 1024);

RING(lifecycle, 256 * 1024);

MAP(state, ARRAY, 1, __u32, struct state);

MAP(counters, PERCPU_ARRAY, 1, __u32, struct counters);

MAP(slots, ARRAY, SLOT_COUNT, __u32, struct slot_sides);

MAP(cgroups, HASH, 16384, __u64, struct selection);

MAP(sessions, HASH, 65536, __u32, struct session);

/* By container. Apart from its selection, which the recorder writes: the first root is set once. */
MAP(roots, HASH, 16384, __u64, struct root);

/* By what stands in a container's place. Nothing tells of a login's end. */
MAP(logins, LRU_HASH, 4096, __u64, struct root);

TRIE(paths, FILTER_ENTRIES, struct path_key, __u32);

TRIE(networks, FILTER_ENTRIES, struct network_key, __u32);

#endif /* PODCORDER_MAPS_BPF_H */
