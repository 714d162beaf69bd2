/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* The programs as CO-RE objects: libbpf relocates them to the running kernel's types. */
#ifndef PODCORDER_COMPAT_CORE_BPF_H
#define PODCORDER_COMPAT_CORE_BPF_H

#include "kernel.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_core_read.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_tracing.h>

/* What a program is attached to; stands before `int name(__u64 *ctx)` or `int BPF_PROG(name, ...)`.
 */
#define PROGRAM(hook) SEC(hook)

#define DECLARE_LICENSE char LICENSE[] SEC("license") = LICENSE_TEXT

/* A map that the loader pins by its name. */
#define MAP(name, kind, entries, key_type, value_type)                                             \
	struct {                                                                                   \
		__uint(type, BPF_MAP_TYPE_##kind);                                                 \
		__uint(max_entries, entries);                                                      \
		__type(key, key_type);                                                             \
		__type(value, value_type);                                                         \
	} name SEC(".maps")

/* As MAP; its entries are made as needed. */
#define TRIE(name, entries, key_type, value_type)                                                  \
	struct {                                                                                   \
		__uint(type, BPF_MAP_TYPE_LPM_TRIE);                                               \
		__uint(max_entries, entries);                                                      \
		__uint(map_flags, BPF_F_NO_PREALLOC);                                              \
		__type(key, key_type);                                                             \
		__type(value, value_type);                                                         \
	} name SEC(".maps")

#define RING(name, bytes)                                                                          \
	struct {                                                                                   \
		__uint(type, BPF_MAP_TYPE_RINGBUF);                                                \
		__uint(max_entries, bytes);                                                        \
	} name SEC(".maps")

/* A constant that the loader may set. */
#define KNOB(type, name, value) const volatile type name = value

/*
 * READ(task, real_parent, tgid) is task->real_parent->tgid, for a pointer whose
 * type the verifier knows: the argument of a tracepoint, the current task. It
 * calls no helper; every other pointer of the kernel's is read by BPF_CORE_READ().
 */
#define READ(...)		      ___arrow(__VA_ARGS__)
#define READ_ARRAY(into, from, field) __builtin_memcpy(into, (from)->field, sizeof(into))

/* Whether this kernel has a field, a helper. */
#define HAS_FIELD(type, field) bpf_core_field_exists(struct type, field)
#define HAS_HELPER(name)       bpf_core_enum_value_exists(enum bpf_func_id, BPF_FUNC_##name)

/* A length or a position that the verifier must see within bounds: see compat_bcc.bpf.h. */
typedef __u32 bounded_t;

/*
 * A function the verifier checks once by itself, not again at every call: loops
 * in it cost their price once. Its arguments may be numbers or map values.
 */
#define __checked_once __attribute__((noinline))

#endif /* PODCORDER_COMPAT_CORE_BPF_H */
