/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* From a dentry to a path, and whether a slot wants it. */
#ifndef PODCORDER_PATHS_BPF_H
#define PODCORDER_PATHS_BPF_H

#include "maps.bpf.h"

#define PATH_COMPONENTS 64
#define NAME_SIZE	256

/* Written from the end to the front; the slack behind lets the verifier see every write inside. */
struct path_buffer {
	char bytes[PATH_SIZE + NAME_SIZE];
	__u32 start;	     /* first byte of the path; PATH_SIZE: it has no name */
	__u32 truncated;     /* deeper or longer than the buffer: its front is missing */
	struct path_key key; /* for the slot's filter */
};

static __always_inline bool is_directory(struct dentry *dentry)
{
	return (BPF_CORE_READ(dentry, d_inode, i_mode) & S_IFMT) == 0040000;
}

/*
 * Walk from a dentry up to the root of its mount namespace. What has no name
 * there (memfd, pipe, the file of a detached mount) leaves an empty path.
 *
 * The position lives in the buffer, not in a register: read back it is an
 * unknown number each time, so that the verifier sees the same state on every
 * way through the loop and does not follow each of them to the end.
 */
__checked_once int walk_up(struct path_buffer *buffer, unsigned long start, unsigned long around)
{
	struct mount *mount = (void *)around - bpf_core_field_offset(struct mount, mnt);
	struct dentry *mount_root = BPF_CORE_READ(mount, mnt.mnt_root);
	struct dentry *dentry = (void *)start;
	int i;

	if (!buffer)
		return 0;
	buffer->truncated = 1;
	buffer->start = PATH_SIZE;
	for (i = 0; i < PATH_COMPONENTS; i++) {
		struct dentry *parent;
		bounded_t length, at;

		if (dentry == mount_root) {
			struct mount *above = BPF_CORE_READ(mount, mnt_parent);

			if (above == mount)
				goto rooted;
			dentry = BPF_CORE_READ(mount, mnt_mountpoint);
			mount = above;
			mount_root = BPF_CORE_READ(mount, mnt.mnt_root);
			continue;
		}
		parent = BPF_CORE_READ(dentry, d_parent);
		if (parent == dentry)
			goto whole;
		length = BPF_CORE_READ(dentry, d_name.len) & (NAME_SIZE - 1);
		at = buffer->start - length - 1;
		barrier_var(at); /* or at + 1 is derived from what is not checked, says 6.12 */
		if (at >= PATH_SIZE)
			return 0; /* below zero: longer than the buffer */
		buffer->bytes[at] = '/';
		bpf_probe_read_kernel(&buffer->bytes[at + 1], length,
				      BPF_CORE_READ(dentry, d_name.name));
		buffer->start = at;
		dentry = parent;
	}
	return 0; /* deeper than the loop */
rooted:
	if (buffer->start == PATH_SIZE && is_directory(dentry)) {
		buffer->start = PATH_SIZE - 1;
		buffer->bytes[PATH_SIZE - 1] = '/';
	}
whole:
	buffer->truncated = 0;
	return 0;
}

static __always_inline void walk_path(struct path_buffer *buffer, struct path *path)
{
	walk_up(buffer, (unsigned long)BPF_CORE_READ(path, dentry),
		(unsigned long)BPF_CORE_READ(path, mnt));
}

/* As much of a path as a filter looks at. */
struct path_front {
	char bytes[FILTER_PATH_SIZE];
};

/* Make the key that finds a path. */
__checked_once int fill_key(struct path_buffer *buffer, const struct path_front *path,
			    bounded_t length, __u32 filter)
{
	if (!buffer || !path)
		return 0;
	if (length > FILTER_PATH_SIZE - 1)
		length = FILTER_PATH_SIZE - 1;
	buffer->key.filter = __builtin_bswap32(filter);
	if (bpf_probe_read_kernel(buffer->key.path, length, path))
		return 0;
	/* prefixes end in '/', so that /etc/ means /etc and what is below, not /etcetera */
	buffer->key.path[length] = '/';
	buffer->key.prefix_bits = 8 * (sizeof(buffer->key.filter) + length + 1);
	return 1;
}

/* Whether the slot wants this path: the longest matching prefix decides. */
static __always_inline bool wants_path(struct path_buffer *buffer, const char *path,
				       bounded_t length, const struct slot *slot)
{
	__u32 *verdict;

	if (!(slot->flags & SLOT_HAS_PATHS))
		return true;
	/* just walked, and its front is missing: what is left may look like any prefix */
	if (buffer->truncated && length == PATH_SIZE - buffer->start)
		return true;
	if (!fill_key(buffer, (const struct path_front *)path, length, slot->filter))
		return true;
	verdict = bpf_map_lookup_elem(&paths, &buffer->key);
	if (!verdict)
		return !(slot->flags & SLOT_PATHS_OUT);
	return *verdict == VERDICT_INCLUDE;
}

#endif /* PODCORDER_PATHS_BPF_H */
