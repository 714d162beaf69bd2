// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)
/*
 * Processes: fork, exec and exit. Forks and exits are followed for every
 * selected process, wanted or not: they carry the session along.
 */
#include "records.bpf.h"
#include "paths.bpf.h"

#define EEXIST	       17
#define EXEC_TAIL_SIZE (4 * PATH_SIZE + ARGV_SIZE)

struct exec_scratch {
	struct exec_record record;
	/* path, filename, interpreter, cwd, argv; the slack lets the verifier see every write
	 * inside */
	char tail[EXEC_TAIL_SIZE + PATH_SIZE];
	struct path_buffer path;
	/* in memory, not in registers, so that the verifier does not follow each combination */
	__u32 at;    /* where the next tail goes */
	__u32 flags; /* RECORD_* */
};

/* A plain array indexed by CPU: a per-CPU value ends at 32 KiB. The loader sets the number of CPUs.
 */
MAP(exec_scratch, ARRAY, 1, __u32, struct exec_scratch);

/* A process, for good. */
struct process_key {
	__u64 start;
	__u32 tgid;
	__u32 reserved;
};

/* Ends recorded already: of threads that end at the same moment each sees itself as the last. */
MAP(ended_processes, LRU_HASH, 4096, struct process_key, __u8);

static __always_inline void read_identity(struct exec_record *record, struct task_struct *task)
{
	struct tty_struct *tty = BPF_CORE_READ(task, signal, tty);

	record->euid = BPF_CORE_READ(task, cred, euid.val);
	record->egid = BPF_CORE_READ(task, cred, egid.val);
	record->loginuid = -1;
	record->audit_session = -1;
	if (HAS_FIELD(task_struct, loginuid)) {
		record->loginuid = BPF_CORE_READ(task, loginuid.val);
		record->audit_session = BPF_CORE_READ(task, sessionid);
	}
	record->sid = BPF_CORE_READ(task, signal, pids[PIDTYPE_SID], numbers[0].nr);
	record->tty = 0;
	if (tty)
		record->tty = BPF_CORE_READ(tty, driver, major) << 20 |
			      (BPF_CORE_READ(tty, driver, minor_start) + BPF_CORE_READ(tty, index));
}

static __always_inline void read_executable(struct exec_record *record, struct file *file,
					    const struct path_buffer *path)
{
	struct inode *inode = BPF_CORE_READ(file, f_inode);
	unsigned long magic = BPF_CORE_READ(inode, i_sb, s_magic);
	__u32 links = BPF_CORE_READ(inode, i_nlink);

	record->inode = BPF_CORE_READ(inode, i_ino);
	record->device = BPF_CORE_READ(inode, i_sb, s_dev);
	record->exec_flags = 0;
	if (!links)
		record->exec_flags |= EXEC_DELETED;
	if (path->start >= PATH_SIZE)
		record->exec_flags |=
			!links && (magic == MEMFD_MAGIC_TMPFS || magic == MEMFD_MAGIC_HUGETLB) ?
				EXEC_FROM_MEMORY :
				EXEC_DETACHED_MOUNT;
}

/* Append what walk_path() found; returns its length. */
static __always_inline __u16 append_path(struct exec_scratch *scratch)
{
	bounded_t start = scratch->path.start, at = scratch->at, length;

	if (start >= PATH_SIZE || at >= EXEC_TAIL_SIZE)
		return 0;
	length = PATH_SIZE - start;
	if (bpf_probe_read_kernel(&scratch->tail[at], length, &scratch->path.bytes[start])) {
		scratch->flags |= RECORD_UNREADABLE;
		return 0;
	}
	scratch->at = at + length;
	return length;
}

static __always_inline __u16 append_string(struct exec_scratch *scratch, const char *string)
{
	bounded_t at = scratch->at;
	long length;

	if (at >= EXEC_TAIL_SIZE)
		return 0;
	length = bpf_probe_read_kernel_str(&scratch->tail[at], PATH_SIZE, string);
	if (length < 1) {
		scratch->flags |= RECORD_UNREADABLE;
		return 0;
	}
	if (length == PATH_SIZE)
		scratch->flags |= RECORD_TRUNCATED;
	scratch->at = at + length - 1;
	return length - 1;
}

static __always_inline __u32 append_argv(struct exec_scratch *scratch, struct task_struct *task)
{
	unsigned long start = BPF_CORE_READ(task, mm, arg_start);
	bounded_t length = (__u32)(BPF_CORE_READ(task, mm, arg_end) - start);
	bounded_t at = scratch->at;

	scratch->record.argv_total = length;
	if (length > ARGV_SIZE) {
		scratch->flags |= RECORD_TRUNCATED;
		length = ARGV_SIZE;
	}
	if (at > 4 * PATH_SIZE)
		return 0;
	if (bpf_probe_read_user(&scratch->tail[at], length, (void *)start)) {
		scratch->flags |= RECORD_UNREADABLE;
		return 0;
	}
	scratch->at = at + length;
	return length;
}

PROGRAM(tracepoint, sched_process_exec)
int BPF_PROG(record_exec, struct task_struct *task, int old_pid, struct linux_binprm *bprm)
{
	__u32 cpu = bpf_get_smp_processor_id();
	struct fs_struct *fs = BPF_CORE_READ(task, fs);
	struct file *file = BPF_CORE_READ(bprm, file);
	const char *filename, *interp;
	struct exec_scratch *scratch;
	struct subject subject = {};
	struct exec_record *record;
	bounded_t size;

	begin_session(task);
	if (!select_current(&subject, CLASS_EXEC))
		return 0;
	scratch = bpf_map_lookup_elem(&exec_scratch, &cpu);
	if (!scratch) {
		count_generated_lost(CLASS_EXEC, LOSS_SCRATCH_BUSY);
		return 0;
	}
	record = &scratch->record;
	scratch->flags = 0;
	scratch->at = 0;

	walk_path(&scratch->path, &file->f_path);
	if (scratch->path.truncated)
		scratch->flags |= RECORD_TRUNCATED;
	read_executable(record, file, &scratch->path);
	record->path_length = append_path(scratch);

	filename = BPF_CORE_READ(bprm, filename);
	interp = BPF_CORE_READ(bprm, interp);
	record->filename_length = append_string(scratch, filename);
	record->interpreter_length = 0;
	if (interp != filename) {
		record->exec_flags |= EXEC_SCRIPT;
		record->interpreter_length = append_string(scratch, interp);
	}
	walk_path(&scratch->path, &fs->pwd);
	if (scratch->path.truncated)
		scratch->flags |= RECORD_TRUNCATED;
	record->cwd_length = append_path(scratch);
	record->argv_length = append_argv(scratch, task);

	record->argc = BPF_CORE_READ(bprm, argc);
	record->old_pid = old_pid;
	read_identity(record, task);

	size = sizeof(*record) + scratch->at;
	if (size > sizeof(*record) + EXEC_TAIL_SIZE)
		return 0; /* a sum of bounded lengths: never */
	if (!begin_record(&record->header, &subject, CLASS_EXEC, size))
		return 0;
	record->header.flags |= scratch->flags;
	submit_record(&record->header, size);
	return 0;
}

PROGRAM(tracepoint, task_newtask)
int BPF_PROG(record_fork, struct task_struct *child, __u64 clone_flags)
{
	__u32 parent_tgid = bpf_get_current_pid_tgid() >> 32;
	__u32 child_tgid = BPF_CORE_READ(child, tgid);
	struct session inherited = {}, *session;
	struct fork_record record = {};
	struct subject subject = {};
	__u64 cgroup_id;

	/* io_uring workers and threads live in their process's session */
	if (clone_flags & CLONE_THREAD)
		return 0;
	session = bpf_map_lookup_elem(&sessions, &parent_tgid);
	if (session && session->flags & SESSION_IGNORE) {
		inherited.flags = SESSION_IGNORE;
		bpf_map_update_elem(&sessions, &child_tgid, &inherited, BPF_ANY);
		return 0;
	}
	cgroup_id = bpf_get_current_cgroup_id();
	subject.selection = selection_current(cgroup_id);
	if (!subject.selection)
		return 0;
	session = session_of(bpf_get_current_task_btf(), subject.selection);
	if (session) {
		inherited = *session;
		inherited.process_start = BPF_CORE_READ(child, start_boottime);
		bpf_map_update_elem(&sessions, &child_tgid, &inherited, BPF_ANY);
		log_debug("session inherited: pid=%u parent=%u root=%u", child_tgid, parent_tgid,
			  inherited.session_root);
	}
	if (!select_current(&subject, CLASS_FORK))
		return 0;
	record.child_tgid = child_tgid;
	record.child_start = BPF_CORE_READ(child, start_boottime);
	if (begin_record(&record.header, &subject, CLASS_FORK, sizeof(record)))
		submit_record(&record.header, sizeof(record));
	return 0;
}

/* True for the first thread that asks. */
static __always_inline bool ends_first(struct task_struct *task)
{
	struct process_key key = {.start = process_start_of(task), .tgid = READ(task, tgid)};
	__u8 present = 1;

	/* an int: before 6.4 the upper half of what the map's own function returns is not set */
	return (int)bpf_map_update_elem(&ended_processes, &key, &present, BPF_NOEXIST) != -EEXIST;
}

PROGRAM(tracepoint, sched_process_exit)
int BPF_PROG(record_exit, struct task_struct *task)
{
	struct signal_struct *signal = BPF_CORE_READ(task, signal);
	__u32 tgid = BPF_CORE_READ(task, tgid);
	struct exit_record record = {};
	struct subject subject = {};

	/* the leader may go first: the process ends with its last thread */
	if (BPF_CORE_READ(signal, live.counter))
		return 0;
	if (select_current(&subject, CLASS_EXIT) && ends_first(subject.task)) {
		record.exit_code = BPF_CORE_READ(signal, flags) & SIGNAL_GROUP_EXIT ?
					   BPF_CORE_READ(signal, group_exit_code) :
					   BPF_CORE_READ(task, group_leader, exit_code);
		if (begin_record(&record.header, &subject, CLASS_EXIT, sizeof(record)))
			submit_record(&record.header, sizeof(record));
	}
	if (LOGGING) {
		struct session *session = bpf_map_lookup_elem(&sessions, &tgid);

		if (session && session->session_root == tgid)
			log_info("session ended: pid=%u flags=%u", tgid, session->flags);
	}
	bpf_map_delete_elem(&sessions, &tgid);
	return 0;
}

DECLARE_LICENSE;
