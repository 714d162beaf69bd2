// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)
/*
 * Every type that user space knows, for the tests that compare the two halves:
 * what a program has on its stack alone is in no program's BTF. Nothing loads
 * this object.
 */
#include "maps.bpf.h"

struct layout {
	struct record_header record_header;
	struct exec_record exec_record;
	struct exec_failed_record exec_failed_record;
	struct fork_record fork_record;
	struct exit_record exit_record;
	struct open_record open_record;
	struct network_record network_record;
	struct cgroup_record cgroup_record;
	struct identity identity;
	enum record_class record_class;
	enum loss_reason loss_reason;
	enum verdict verdict;
	enum syscall_handler syscall_handler;
} layout;
