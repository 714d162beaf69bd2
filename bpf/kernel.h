/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * The kernel's own structures, only the fields Podcorder touches. Where they
 * are is taken from the running kernel's BTF: at load (CO-RE), or by the
 * recorder, which writes this file anew for bcc (kernel_header.py: a structure
 * that begins in the first column, one declaration a line). So the order here
 * does not matter.
 */
#ifndef PODCORDER_KERNEL_H
#define PODCORDER_KERNEL_H

#include <linux/types.h>
#include <linux/bpf.h>

#ifndef bool
typedef _Bool bool;
#define true 1
#define false 0
#endif

#define NULL		    ((void *)0)
#define AF_INET		    2
#define AF_INET6	    10
#define S_IFMT		    00170000
#define CLONE_THREAD	    0x00010000
#define SIGNAL_GROUP_EXIT   0x00000004
#define PIDTYPE_SID	    3
#define MEMFD_MAGIC_TMPFS   0x01021994
#define MEMFD_MAGIC_HUGETLB 0x958458f6

#pragma clang attribute push(__attribute__((preserve_access_index)), apply_to = record)

#if defined(__TARGET_ARCH_x86)
struct pt_regs {
	unsigned long bx, cx, dx, si, di, r8, r9, r10, orig_ax;
};
#elif defined(__TARGET_ARCH_arm64)
struct pt_regs {
	unsigned long regs[31];
	unsigned long orig_x0;
	int syscallno;
};
#else
#error "Podcorder's programs know x86_64 and arm64"
#endif

struct thread_info {
	unsigned long flags;
	__u32 status; /* x86 only */
};

struct kernfs_node {
	__u64 id;
	const char *name;
};

struct cgroup_root {
	int hierarchy_id;
};

struct cgroup;

struct cgroup_subsys_state {
	struct cgroup *cgroup;
	struct cgroup_subsys_state *parent;
};

struct cgroup {
	struct cgroup_subsys_state self;
	int level;
	struct kernfs_node *kn;
	struct cgroup_root *root;
};

struct css_set {
	struct cgroup *dfl_cgrp;
};

typedef struct {
	__u32 val;
} kuid_t;

typedef struct {
	__u32 val;
} kgid_t;

struct cred {
	kuid_t uid, euid;
	kgid_t gid, egid;
};

typedef struct {
	int counter;
} atomic_t;

struct upid {
	int nr;
};

struct hlist_node {
	struct hlist_node *next;
};

struct hlist_head {
	struct hlist_node *first;
};

struct pid {
	unsigned int level; /* of its namespace; the initial one has 0 */
	struct upid numbers[1];
	struct hlist_head tasks[4]; /* by PIDTYPE_* */
};

struct tty_driver {
	int major;
	int minor_start;
};

struct tty_struct {
	int index;
	struct tty_driver *driver;
};

struct signal_struct {
	atomic_t live;
	int group_exit_code;
	unsigned int flags;
	struct pid *pids[4];
	struct tty_struct *tty;
};

struct qstr {
	__u32 len;
	const unsigned char *name;
};

struct super_block {
	__u32 s_dev;
	unsigned long s_magic;
};

struct inode {
	__u16 i_mode;
	unsigned int i_nlink;
	unsigned long i_ino;
	void *i_private;
	struct super_block *i_sb;
};

struct dentry {
	struct dentry *d_parent;
	struct qstr d_name;
	struct inode *d_inode;
};

struct vfsmount {
	struct dentry *mnt_root;
};

struct mount {
	struct mount *mnt_parent;
	struct dentry *mnt_mountpoint;
	struct vfsmount mnt;
};

struct path {
	struct vfsmount *mnt;
	struct dentry *dentry;
};

struct file {
	struct path f_path;
	struct inode *f_inode;
	unsigned int f_flags;
	void *private_data;
};

struct fdtable {
	unsigned int max_fds;
	struct file **fd;
};

struct files_struct {
	struct fdtable *fdt;
};

struct fs_struct {
	struct path pwd;
};

struct mm_struct {
	unsigned long arg_start, arg_end;
};

struct mnt_namespace;

struct pid_namespace {
	struct task_struct *child_reaper;
};

struct nsproxy {
	struct mnt_namespace *mnt_ns;
	struct pid_namespace *pid_ns_for_children;
};

struct task_struct {
	struct thread_info thread_info;
	int pid, tgid;
	int exit_code;
	struct task_struct *real_parent;
	struct task_struct *group_leader;
	__u64 start_boottime;
	const struct cred *cred;
	struct pid *thread_pid;
	struct hlist_node pid_links[4]; /* by PIDTYPE_* */
	char comm[16];
	struct mm_struct *mm;
	struct fs_struct *fs;
	struct files_struct *files;
	struct signal_struct *signal;
	struct css_set *cgroups;
	struct nsproxy *nsproxy;
	kuid_t loginuid;	/* CONFIG_AUDIT */
	unsigned int sessionid; /* CONFIG_AUDIT */
	void *stack;
};

struct seq_file;

struct bpf_iter_meta {
	struct seq_file *seq;
};

/* What a program of SEC("iter/task") is given. */
struct bpf_iter__task {
	struct bpf_iter_meta *meta;
	struct task_struct *task;
};

struct linux_binprm {
	struct file *file;
	const char *filename;
	const char *interp;
	int argc;
};

struct filename {
	const char *name;
	const char *uptr; /* the caller's own pointer */
};

struct open_how {
	__u64 flags;
};

/* What an open request keeps in io_kiocb.cmd. */
struct io_open {
	__u32 file_slot; /* 0: an ordinary descriptor */
	struct filename *filename;
	struct open_how how;
};

struct io_cmd_data {
	struct file *file;
};

struct io_cqe {
	__u64 user_data;
	__s32 res;
	int fd; /* of the request's own file, until it is issued */
};

struct io_rsrc_node {
	unsigned long file_ptr; /* low bits are flags */
};

struct io_rsrc_data {
	unsigned int nr;
	struct io_rsrc_node **nodes;
};

struct io_file_table {
	struct io_rsrc_data data; /* from 6.13 on */
};

struct io_ring_ctx {
	struct io_file_table file_table;
};

struct io_kiocb {
	struct io_cmd_data cmd;
	__u8 opcode;
	__u64 flags;
	struct io_cqe cqe;
	struct io_ring_ctx *ctx;
};

struct in6_addr {
	union {
		__u8 u6_addr8[16];
		__u32 u6_addr32[4];
	} in6_u;
};

struct sock_common {
	__be32 skc_daddr, skc_rcv_saddr;
	__be16 skc_dport;
	__u16 skc_num;
	unsigned short skc_family;
	volatile unsigned char skc_state;
	struct in6_addr skc_v6_daddr, skc_v6_rcv_saddr;
};

struct socket;

struct sock {
	struct sock_common __sk_common;
	int sk_err;
	struct socket *sk_socket;
	__u16 sk_protocol;
	__u8 sk_shutdown;
};

struct socket {
	struct file *file;
	struct sock *sk;
};

struct inet_sock {
	__be32 inet_saddr;
	__be16 inet_sport;
};

struct ipv6_pinfo {
	struct in6_addr saddr;
};

struct sk_buff {
	struct sock *sk;
	__u16 network_header, transport_header;
	__be16 protocol;
	unsigned char *head;
};

struct flowi_common {
	__u8 flowic_proto;
};

union flowi_uli {
	struct {
		__be16 dport, sport;
	} ports;
};

struct flowi4 {
	struct flowi_common __fl_common;
	__be32 saddr, daddr;
	union flowi_uli uli;
};

struct flowi6 {
	struct flowi_common __fl_common;
	struct in6_addr daddr, saddr;
	union flowi_uli uli;
};

/* What an accept request keeps in io_kiocb.cmd. */
struct io_accept {
	int iou_flags;
	__u32 file_slot; /* 0: an ordinary descriptor */
};

/* What a connect request keeps in io_kiocb.cmd. */
struct io_connect {
	void *addr; /* the caller's own pointer */
	int addr_len;
};

struct io_uring_cqe {
	__u64 user_data;
	__s32 res;
	__u32 flags;
};

#pragma clang attribute pop

#endif /* PODCORDER_KERNEL_H */
