/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * The programs as plain raw tracepoints, for kernels from 5.8 on: the verifier
 * takes every argument for a bare number, so the kernel's memory is read by
 * helpers alone; a function is checked at each call, since before 5.12 none
 * may take memory as argument; and no instruction is newer than 5.8.
 */
#ifndef PODCORDER_COMPAT_RAW_BPF_H
#define PODCORDER_COMPAT_RAW_BPF_H

#define READ(...) BPF_CORE_READ(__VA_ARGS__)
#define READ_ARRAY(into, from, field)                                                              \
	bpf_probe_read_kernel(into, sizeof(into), (void *)&(from)->field)

/* The kernel's types are not needed for a number, and the helper is of 5.11. */
#define bpf_get_current_task_btf() ((struct task_struct *)bpf_get_current_task())
#define bpf_task_pt_regs(current)  (bpf_task_pt_regs)((bpf_get_current_task_btf)())

/*
 * A length or a position that the verifier must see within bounds. Of a shorter
 * number what is compared may be a copy, and the verifier knows nothing of what
 * is then used: always so with bcc, which compares 64 bits alone.
 */
typedef __u64 bounded_t;

#define __checked_once static __always_inline

#endif /* PODCORDER_COMPAT_RAW_BPF_H */
