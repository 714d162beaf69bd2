/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * The layout of what the kernel half hands over: every record begins with a
 * struct record_header, then the fixed fields of its kind, then its
 * variable-length tails in the order their lengths are declared.
 *
 * All integers are in host byte order; every struct has the same layout on
 * x86_64 and arm64 (natural alignment, no implicit padding).
 * node-agent/podcorder_agent/interpreter/records.py mirrors this file.
 */
#ifndef PODCORDER_RECORD_H
#define PODCORDER_RECORD_H

#define RECORD_VERSION 1
#define COMM_SIZE      16
#define PATH_SIZE      4096	    /* longest path, in bytes, of one tail */
#define ARGV_SIZE      (128 * 1024) /* longest argv tail, in bytes */

/* One class, one line in the law: generated = delivered + counted lost. */
enum record_class {
	CLASS_EXEC = 0,
	CLASS_EXEC_FAILED = 1,
	CLASS_FORK = 2,
	CLASS_EXIT = 3,
	CLASS_OPEN = 4,
	CLASS_OPEN_FAILED = 5,
	CLASS_CONNECT = 6,
	CLASS_ACCEPT = 7,
	CLASS_LISTEN = 8,
	CLASS_DATAGRAM = 9,
	CLASS_CGROUP = 10,
	CLASS_COUNT = 11,
};

/* Why a record that was generated never reached its ring. */
enum loss_reason {
	LOSS_RING_FULL = 0,    /* the reserve failed */
	LOSS_NO_RECORDER = 1,  /* no heartbeat for ten minutes */
	LOSS_THROTTLED = 2,    /* the slot's rate limit */
	LOSS_PENDING = 3,      /* a pending container's time or bytes ran out */
	LOSS_SCRATCH_BUSY = 4, /* the per-CPU scratch was in use */
	LOSS_MAP_FULL = 5,     /* a bookkeeping map had no room */
	LOSS_REASON_COUNT = 6,
};

/* record_header.flags */
#define RECORD_UNSETTLED   (1 << 0)  /* arguments read from the caller's memory */
#define RECORD_UNREADABLE  (1 << 1)  /* some tail could not be read: see its length */
#define RECORD_TRUNCATED   (1 << 2)  /* some tail is shorter than its original */
#define RECORD_PENDING	   (1 << 3)  /* the cgroup was not yet selected nor excluded */
#define RECORD_COMPAT	   (1 << 4)  /* a 32-bit call */
#define RECORD_IO_URING	   (1 << 5)  /* made through io_uring */
#define RECORD_PARTIAL	   (1 << 6)  /* the session root is older than its selection */
#define RECORD_SESSIONLESS (1 << 7)  /* the sessions map was full: no session known */
#define RECORD_ENTERING	   (1 << 8)  /* a runtime at work inside, before the first exec */
#define RECORD_OWN	   (1 << 9)  /* the container's own session, nobody else's */
#define RECORD_DOUBTED	   (1 << 10) /* a login that another's process began */
#define RECORD_MOVED	   (1 << 11) /* the session root was moved here out of another container */

/*
 * A number's upper byte is the level that gave it; those of a level follow each
 * other from 1. Level 0 is all that programs built for the kernel's types have.
 */
#define NUMBER_LEVEL_SHIFT 56

struct record_header {
	__u8 version;	     /* RECORD_VERSION */
	__u8 class;	     /* enum record_class */
	__u16 flags;	     /* RECORD_* */
	__u32 size;	     /* bytes of this record, header and tails included */
	__u64 sequence;	     /* unique within a CPU and a load generation; see NUMBER_LEVEL_SHIFT */
	__u64 time;	     /* ns, CLOCK_BOOTTIME */
	__u64 cgroup_id;     /* the task's own cgroup */
	__u64 container_id;  /* cgroup id of the selected subtree's top, or a login: maps.bpf.h */
	__u64 session_start; /* boottime of the root's start, or of its first exec inside, ns */
	__u64 process_start; /* start_boottime of the thread group's leader, ns */
	__u32 session_root;  /* tgid of the session root */
	__u32 tgid;	     /* process id, initial pid namespace */
	__u32 pid;	     /* thread id, initial pid namespace */
	__u32 ppid;	     /* tgid of the real parent */
	__u32 uid;
	__u32 gid;
	__u16 cpu;
	__u16 slot;
	__u32 reserved;
	char comm[COMM_SIZE]; /* not always NUL-terminated */
};			      /* 104 bytes */

/* exec_record.exec_flags */
#define EXEC_FROM_MEMORY    (1 << 0) /* memfd or another file without a name */
#define EXEC_DELETED	    (1 << 1) /* the file had no link left */
#define EXEC_DETACHED_MOUNT (1 << 2) /* the file's mount is in no namespace */
#define EXEC_SCRIPT	    (1 << 3) /* an interpreter was run for a script */

/* CLASS_EXEC. Tails: path, filename, interpreter, cwd, argv. */
struct exec_record {
	struct record_header header;
	__u64 inode;	  /* of the executable */
	__u32 device;	  /* kernel encoding: major << 20 | minor */
	__u32 exec_flags; /* EXEC_* */
	__u32 euid;
	__u32 egid;
	__u32 loginuid;	     /* audit login uid, (u32)-1 unset */
	__u32 audit_session; /* audit session id, (u32)-1 unset */
	__u32 sid;	     /* POSIX session id */
	__u32 tty;	     /* device number of the controlling terminal, 0 none */
	__u32 old_pid;	     /* thread id before a thread's exec */
	__u32 argc;
	__u32 argv_total;	  /* bytes in the process, >= argv_length */
	__u32 argv_length;	  /* NUL-terminated strings, one after another */
	__u16 path_length;	  /* resolved path of the executable; 0: no name */
	__u16 filename_length;	  /* as given to execve: the script where one was run */
	__u16 interpreter_length; /* as named by the script's first line; 0: no script */
	__u16 cwd_length;
};

/* CLASS_EXEC_FAILED. Tails: filename, argv (unsettled). */
struct exec_failed_record {
	struct record_header header;
	__s32 error;	   /* negative errno */
	__u32 argc;	   /* arguments read, or seen when truncated */
	__u32 argv_length; /* NUL-terminated strings, one after another */
	__u16 filename_length;
	__u16 reserved;
};

/* CLASS_FORK: header describes the parent. */
struct fork_record {
	struct record_header header;
	__u64 child_start; /* start_boottime of the child, ns */
	__u32 child_tgid;
	__u32 reserved;
};

/* CLASS_EXIT: the last thread of the process has gone. */
struct exit_record {
	struct record_header header;
	__s32 exit_code; /* as for wait(2): code << 8 | core 0x80 | signal */
	__u32 reserved;
};

/* CLASS_OPEN (result >= 0) and CLASS_OPEN_FAILED (result < 0, unsettled). Tail: path. */
struct open_record {
	struct record_header header;
	__u64 inode;
	__u32 device;
	__u32 open_flags; /* O_*, as the kernel holds them in file->f_flags, or as asked */
	__s32 result;	  /* descriptor, RESULT_UNKNOWN, or negative errno */
	__u16 mode;	  /* i_mode: type and permissions */
	__u16 path_length;
};

#define RESULT_UNKNOWN 0x7fffffff /* io_uring was told not to say */

/* CLASS_CONNECT, ACCEPT, LISTEN and DATAGRAM. IPv4 is the first four bytes. */
struct network_record {
	struct record_header header;
	__u64 latency;	  /* connect: ns from SYN to the outcome */
	__s32 result;	  /* 0 or negative errno; connect: -ECONNREFUSED, -ETIMEDOUT, ... */
	__u16 family;	  /* AF_INET 2, AF_INET6 10 */
	__u16 protocol;	  /* IPPROTO_TCP 6, IPPROTO_UDP 17 */
	__u16 local_port; /* host byte order */
	__u16 peer_port;  /* host byte order */
	__u32 reserved;
	__u8 local_address[16];
	__u8 peer_address[16];
};

/* CLASS_CGROUP, on the lifecycle ring; header describes the task that did it. Tail: path. */
struct cgroup_record {
	struct record_header header;
	__u64 id;     /* the cgroup made or removed */
	__u64 parent; /* its parent's id, 0 at the root */
	__u32 level;
	__u16 removed;	   /* 0 made, 1 removed */
	__u16 path_length; /* within the cgroup2 hierarchy */
};

/* No record: what the iterator list_identities writes of each process. */
struct identity {
	__u32 pid;   /* in the reader's pid namespace */
	__u32 tgid;  /* in the initial one */
	__u64 start; /* start_boottime, ns */
};

#endif /* PODCORDER_RECORD_H */
