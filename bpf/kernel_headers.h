/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * Where the structures of kernel.h are declared in a node's kernel headers: bcc
 * asks there for their fields on a kernel without BTF (header_types.py). What a
 * kernel keeps in its own sources alone is in no header. Of that, only what
 * kernels were seen to have: on any other it counts as missing.
 */
#include <linux/version.h>

/*
 * bcc's own list of BPF's types takes the place of the kernel's. Where it is
 * the older one, linux/bpf.h asks for types that it lacks: asked again with
 * this, it has them, as large as they are.
 */
#ifdef OLD_BCC
struct bpf_rb_root {
	__u64 opaque[2];
};
struct bpf_rb_node {
	__u64 opaque[4];
};
struct bpf_refcount {
	__u32 opaque[1];
};
struct bpf_wq {
	__u64 opaque[2];
};
#endif

#include <linux/binfmts.h>
#include <linux/cgroup.h>
#include <linux/cred.h>
#include <linux/dcache.h>
#include <linux/fdtable.h>
#include <linux/fs.h>
#include <linux/fs_struct.h>
#include <linux/ipv6.h>
#include <linux/kernfs.h>
#include <linux/mm_types.h>
#include <linux/mount.h>
#include <linux/net.h>
#include <linux/nsproxy.h>
#include <linux/pid.h>
#include <linux/pid_namespace.h>
#include <linux/sched.h>
#include <linux/sched/signal.h>
#include <linux/seq_file.h>
#include <linux/skbuff.h>
#include <linux/tty.h>
#include <linux/tty_driver.h>
#include <net/flow.h>
#include <net/inet_sock.h>
#include <net/sock.h>
#include <uapi/linux/bpf.h>
#include <uapi/linux/io_uring.h>
#include <uapi/linux/openat2.h>
#if __has_include(<linux/io_uring_types.h>)
#include <linux/io_uring_types.h>
#endif

/* fs/mount.h: 5.10, 6.1, 6.12, 6.18 and 7.2 begin alike. */
#if LINUX_VERSION_CODE >= KERNEL_VERSION(5, 8, 0) && LINUX_VERSION_CODE < KERNEL_VERSION(7, 3, 0)
struct mount {
	struct hlist_node mnt_hash;
	struct mount *mnt_parent;
	struct dentry *mnt_mountpoint;
	struct vfsmount mnt;
};
#endif

/* io_uring/openclose.c, io_uring/net.c: 6.1, 6.12 and 6.18. */
#if LINUX_VERSION_CODE >= KERNEL_VERSION(6, 1, 0) && LINUX_VERSION_CODE < KERNEL_VERSION(6, 19, 0)
struct io_open {
	struct file *file;
	int dfd;
	__u32 file_slot;
	struct filename *filename;
	struct open_how how;
};

struct io_connect {
	struct file *file;
	struct sockaddr *addr;
	int addr_len;
};
#endif

/* It has grown between 6.1 and 6.12. */
#if LINUX_VERSION_CODE >= KERNEL_VERSION(6, 1, 0) && LINUX_VERSION_CODE < KERNEL_VERSION(6, 2, 0)
struct io_accept {
	struct file *file;
	struct sockaddr *addr;
	int *addr_len;
	int flags;
	__u32 file_slot;
};
#elif LINUX_VERSION_CODE >= KERNEL_VERSION(6, 12, 0) &&                                            \
	LINUX_VERSION_CODE < KERNEL_VERSION(6, 19, 0)
struct io_accept {
	struct file *file;
	struct sockaddr *addr;
	int *addr_len;
	int flags;
	int iou_flags;
	__u32 file_slot;
};
#endif
