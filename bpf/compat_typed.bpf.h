/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* The programs as the verifier knows the kernel's types: from 5.12 on. */
#ifndef PODCORDER_COMPAT_TYPED_BPF_H
#define PODCORDER_COMPAT_TYPED_BPF_H

/*
 * READ(task, real_parent, tgid) is task->real_parent->tgid, for a pointer whose
 * type the verifier knows: the argument of a tracepoint, the current task. It
 * calls no helper; every other pointer of the kernel's is read by BPF_CORE_READ().
 */
#define READ(...)		      ___arrow(__VA_ARGS__)
#define READ_ARRAY(into, from, field) __builtin_memcpy(into, (from)->field, sizeof(into))

/* A length or a position that the verifier must see within bounds: see compat_raw.bpf.h. */
typedef __u32 bounded_t;

/*
 * A function the verifier checks once by itself, not again at every call: loops
 * in it cost their price once. Its arguments may be numbers or map values.
 */
#define __checked_once __attribute__((noinline))

#endif /* PODCORDER_COMPAT_TYPED_BPF_H */
