/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* One record for one open, however it was asked for. */
#ifndef PODCORDER_OPENS_BPF_H
#define PODCORDER_OPENS_BPF_H

#include "descriptors.bpf.h"
#include "paths.bpf.h"
#include "records.bpf.h"

#define O_ACCMODE 00000003
#define O_WRONLY  00000001
#define O_CREAT	  00000100
#define O_TRUNC	  00001000

struct open_scratch {
	struct open_record record;
	char path[PATH_SIZE + NAME_SIZE];
	struct path_buffer walked;
};

/*
 * Who fills a scratch. One program does not run twice at a time on a CPU, but
 * two may: at a function's exit a program can be preempted by another task.
 */
enum open_program {
	OPEN_SYSCALL,
	OPEN_NAMED,
	OPEN_HANDLE,
	OPEN_COMPLETED,
	OPEN_SUBMITTED,
	OPEN_PROGRAM_COUNT,
};

MAP(open_scratch, PERCPU_ARRAY, OPEN_PROGRAM_COUNT, __u32, struct open_scratch);

static __always_inline struct open_scratch *open_scratch_of(enum open_program program)
{
	__u32 key = program;

	return bpf_map_lookup_elem(&open_scratch, &key);
}

static __always_inline bool wants_access(const struct slot *slot, __u32 open_flags)
{
	switch (open_flags & O_ACCMODE) {
	case 0:
		return slot->access & ACCESS_READ;
	case O_WRONLY:
		return slot->access & ACCESS_WRITE;
	default:
		return slot->access & (ACCESS_READ | ACCESS_WRITE);
	}
}

static __always_inline int submit_open(struct open_scratch *scratch, struct subject *subject,
				       __u32 class, bounded_t length, __u32 flags)
{
	struct open_record *record = &scratch->record;
	bounded_t size = sizeof(*record) + length;

	record->path_length = length;
	if (!begin_record(&record->header, subject, class, size))
		return 0;
	record->header.flags |= flags;
	submit_record(&record->header, size);
	return 0;
}

/* A file was opened. Another thread may have closed the descriptor already: then it is unreadable.
 */
static __always_inline int record_opened(enum open_program program, struct subject *subject,
					 struct file *file, __s32 result, __u32 flags)
{
	struct open_scratch *scratch = open_scratch_of(program);
	struct open_record *record;
	struct inode *inode;
	bounded_t start, length;

	if (!scratch)
		return 0; /* an array with a place for each: cannot fail */
	record = &scratch->record;
	record->result = result;
	if (!file) {
		record->inode = 0;
		record->device = 0;
		record->open_flags = 0;
		record->mode = 0;
		return submit_open(scratch, subject, CLASS_OPEN, 0, flags | RECORD_UNREADABLE);
	}
	record->open_flags = BPF_CORE_READ(file, f_flags);
	if (!wants_access(subject->slot, record->open_flags)) {
		log_unwanted("access filtered", CLASS_OPEN, subject->cgroup_id);
		return 0;
	}
	walk_path(&scratch->walked, &file->f_path);
	start = scratch->walked.start;
	/* never longer than PATH_SIZE; the mask, unlike a comparison, tells every verifier so */
	length = (PATH_SIZE - start) & (2 * PATH_SIZE - 1);
	bpf_probe_read_kernel(scratch->path, length, &scratch->walked.bytes[start]);
	if (!wants_path(&scratch->walked, scratch->path, length, subject->slot)) {
		log_unwanted("path filtered", CLASS_OPEN, subject->cgroup_id);
		return 0;
	}
	if (scratch->walked.truncated)
		flags |= RECORD_TRUNCATED;
	inode = BPF_CORE_READ(file, f_inode);
	record->inode = BPF_CORE_READ(inode, i_ino);
	record->device = BPF_CORE_READ(inode, i_sb, s_dev);
	record->mode = BPF_CORE_READ(inode, i_mode);
	return submit_open(scratch, subject, CLASS_OPEN, length, flags);
}

/*
 * An open of which only the name asked for is known: it failed, or nobody will
 * say how it ended. `read` is what reading the name into scratch->path gave. A
 * relative name cannot be held against a prefix here: it always passes.
 */
static __always_inline int record_open_by_name(struct open_scratch *scratch,
					       struct subject *subject, __u32 class, long read,
					       __u32 open_flags, __s32 result, __u32 flags)
{
	struct open_record *record = &scratch->record;
	bounded_t length = 0;

	if (!wants_access(subject->slot, open_flags)) {
		log_unwanted("access filtered", class, subject->cgroup_id);
		return 0;
	}
	if (read < 1)
		flags |= RECORD_UNREADABLE;
	else
		length = (read - 1) & (PATH_SIZE - 1);
	if (read == PATH_SIZE)
		flags |= RECORD_TRUNCATED;
	if (length && scratch->path[0] == '/' &&
	    !wants_path(&scratch->walked, scratch->path, length, subject->slot)) {
		log_unwanted("path filtered", class, subject->cgroup_id);
		return 0;
	}
	record->result = result;
	record->open_flags = open_flags;
	record->inode = 0;
	record->device = 0;
	record->mode = 0;
	return submit_open(scratch, subject, class, length, flags | RECORD_UNSETTLED);
}

static __always_inline int record_open_failed(enum open_program program, struct subject *subject,
					      const void *name, __u32 open_flags, __s32 result,
					      __u32 flags)
{
	struct open_scratch *scratch = open_scratch_of(program);
	long read;

	if (!scratch)
		return 0; /* an array with a place for each: cannot fail */
	read = bpf_probe_read_user_str(scratch->path, PATH_SIZE, name);
	return record_open_by_name(scratch, subject, CLASS_OPEN_FAILED, read, open_flags, result,
				   flags);
}

/* A request for which io_uring was told not to report success. `name` is the kernel's copy. */
static __always_inline int record_open_asked(enum open_program program, struct subject *subject,
					     const void *name, __u32 open_flags)
{
	struct open_scratch *scratch = open_scratch_of(program);
	long read;

	if (!scratch)
		return 0; /* an array with a place for each: cannot fail */
	read = bpf_probe_read_kernel_str(scratch->path, PATH_SIZE, name);
	return record_open_by_name(scratch, subject, CLASS_OPEN, read, open_flags, RESULT_UNKNOWN,
				   RECORD_IO_URING);
}

#endif /* PODCORDER_OPENS_BPF_H */
