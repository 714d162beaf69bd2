/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* The programs as CO-RE objects: libbpf relocates them to the running kernel's types. */
#ifndef PODCORDER_COMPAT_CORE_BPF_H
#define PODCORDER_COMPAT_CORE_BPF_H

#include "kernel.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_core_read.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_tracing.h>

/* What a program is attached to; before `int name(__u64 *ctx)` or `int BPF_PROG(name, ...)`. */
#define PROGRAM(kind, target)  PROGRAM_##kind(target)
#define PROGRAM_iterator(type) SEC("iter/" #type)
#ifdef RAW_TRACEPOINTS
#define PROGRAM_tracepoint(name)    SEC("raw_tp/" #name)
#define PROGRAM_function_exit(name) static __always_inline __attribute__((unused))
#else
#define PROGRAM_tracepoint(name)    SEC("tp_btf/" #name)
#define PROGRAM_function_exit(name) SEC("fexit/" #name)
#endif

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

/* Whether this kernel has a field, a helper. */
#define HAS_FIELD(type, field) bpf_core_field_exists(struct type, field)
#define HAS_HELPER(name)       bpf_core_enum_value_exists(enum bpf_func_id, BPF_FUNC_##name)

#ifdef RAW_TRACEPOINTS
#include "compat_raw.bpf.h"
#else
#include "compat_typed.bpf.h"
#endif

#endif /* PODCORDER_COMPAT_CORE_BPF_H */
