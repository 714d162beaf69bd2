/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* From a descriptor to the file behind it. */
#ifndef PODCORDER_DESCRIPTORS_BPF_H
#define PODCORDER_DESCRIPTORS_BPF_H

#include "maps.bpf.h"

#define IORING_FILE_INDEX_ALLOC (~0U)
#define FILE_POINTER_FLAGS	7UL

/*
 * The file behind a descriptor of the process, NULL where it is gone already.
 * Another thread may have put another file there since the call.
 */
static __always_inline struct file *file_at(struct task_struct *task, __u32 descriptor)
{
	struct fdtable *table = BPF_CORE_READ(task, files, fdt);
	struct file **files = BPF_CORE_READ(table, fd);
	struct file *file = NULL;

	if (descriptor >= BPF_CORE_READ(table, max_fds))
		return NULL;
	bpf_probe_read_kernel(&file, sizeof(file), &files[descriptor]);
	return file;
}

/* The file at a place in an io_uring's own table: it has no number in the process. */
static __always_inline struct file *direct_file_at(struct io_ring_ctx *ring, __u32 index)
{
	struct io_rsrc_node **nodes, *node = NULL;

	if (!HAS_FIELD(io_file_table, data))
		return NULL;
	if (index >= BPF_CORE_READ(ring, file_table.data.nr))
		return NULL;
	nodes = BPF_CORE_READ(ring, file_table.data.nodes);
	bpf_probe_read_kernel(&node, sizeof(node), &nodes[index]);
	return (struct file *)(BPF_CORE_READ(node, file_ptr) & ~FILE_POINTER_FLAGS);
}

#endif /* PODCORDER_DESCRIPTORS_BPF_H */
