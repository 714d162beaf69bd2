/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * The programs as bcc compiles them on the node, as plain raw tracepoints
 * (compat_raw.bpf.h). The recorder makes <podcorder/kernel.h> (kernel.h with
 * every field where this kernel has it) and <podcorder/maps.h> (the object's
 * maps, by their place: the recorder puts descriptors in); see
 * node-agent/podcorder_agent/recorder/bcc/.
 */
#ifndef PODCORDER_COMPAT_BCC_BPF_H
#define PODCORDER_COMPAT_BCC_BPF_H

#ifndef __always_inline
#define __always_inline inline __attribute__((always_inline))
#endif

/* Where /proc/kallsyms hides its addresses, bcc takes the kernel for one that lacks these. */
#undef bpf_probe_read_kernel
#undef bpf_probe_read_kernel_str
#undef bpf_probe_read_user
#undef bpf_probe_read_user_str

#include <podcorder/kernel.h>
#include <podcorder/maps.h>

/* A function of its own for each program that is wanted calls it: see compiler.py. */
#define PROGRAM(kind, target) static __always_inline

/* bcc declares the license itself, as BPF_LICENSE says. */
#define DECLARE_LICENSE _Static_assert(sizeof(LICENSE_TEXT), "")

/* bcc would make maps of its own: these the recorder makes and pins. */
struct made_map {
	__u64 place;
};

#define MAP(name, kind, entries, key_type, value_type)                                             \
	_Static_assert(sizeof(key_type) == KEY_BYTES_##name &&                                     \
			       sizeof(value_type) == VALUE_BYTES_##name,                           \
		       "the map " #name " was made for entries of other sizes");                   \
	static const struct made_map name = {PLACE_##name}
#define TRIE(name, entries, key_type, value_type) MAP(name, LPM_TRIE, entries, key_type, value_type)
#define RING(name, bytes)			  static const struct made_map name = {PLACE_##name}

#define map_pointer(map)	      ((void *)bpf_pseudo_fd(1, (map)->place))
#define bpf_map_lookup_elem(map, key) bpf_map_lookup_elem(map_pointer(map), (void *)(key))
#define bpf_map_update_elem(map, key, value, flags)                                                \
	bpf_map_update_elem(map_pointer(map), (void *)(key), (void *)(value), flags)
#define bpf_map_delete_elem(map, key) bpf_map_delete_elem(map_pointer(map), (void *)(key))
#define bpf_ringbuf_query(map, flags) bpf_ringbuf_query(map_pointer(map), flags)
#define bpf_ringbuf_output(map, data, size, flags)                                                 \
	bpf_ringbuf_output(map_pointer(map), (void *)(data), size, flags)
#define bpf_tail_call(context, map, index) bpf_tail_call_(map_pointer(map), context, index)

#define KNOB(type, name, value) static const type name = KNOB_##name

#define nth_(_1, _2, _3, _4, _5, _6, n, ...) n
#define count_of(...)			     nth_(__VA_ARGS__, 6, 5, 4, 3, 2, 1)
#define paste_(a, b)			     a##b
#define paste(a, b)			     paste_(a, b)

/* BPF_CORE_READ(task, signal, tty) is task->signal->tty, whatever becomes of the pointers. */
#define read_field(from, field)                                                                    \
	({                                                                                         \
		typeof((from)->field) field_;                                                      \
		bpf_probe_read_kernel((void *)&field_, sizeof(field_), (void *)&(from)->field);    \
		field_;                                                                            \
	})
#define read_2(from, a)		 read_field(from, a)
#define read_3(from, a, b)	 read_field(read_2(from, a), b)
#define read_4(from, a, b, c)	 read_field(read_3(from, a, b), c)
#define read_5(from, a, b, c, d) read_field(read_4(from, a, b, c), d)
#define BPF_CORE_READ(...)	 paste(read_, count_of(__VA_ARGS__))(__VA_ARGS__)
#define BPF_CORE_READ_INTO(into, from, field)                                                      \
	bpf_probe_read_kernel(into, sizeof(*(into)), (void *)&(from)->field)

#define bpf_core_field_offset(type, field) __builtin_offsetof(type, field)
#define bpf_core_type_size(type)	   sizeof(type)
#define HAS_FIELD(type, field)		   HAS_FIELD_##type##_##field
#define HAS_HELPER(name)		   HAS_HELPER_##name

/* The arguments of a raw tracepoint, by name. */
#define context_1(x)	      context
#define context_2(x, args...) context_1(args), (void *)context[0]
#define context_3(x, args...) context_2(args), (void *)context[1]
#define context_4(x, args...) context_3(args), (void *)context[2]
#define context_5(x, args...) context_4(args), (void *)context[3]
#define arguments_of(args...) paste(context_, count_of(args))(args)
#undef BPF_PROG /* bcc's own is for other hooks */
#define BPF_PROG(name, args...)                                                                    \
	name(__u64 *context);                                                                      \
	static __always_inline int body_of_##name(__u64 *context, args);                           \
	static __always_inline int name(__u64 *context)                                            \
	{                                                                                          \
		return body_of_##name(arguments_of(0, args));                                      \
	}                                                                                          \
	static __always_inline int body_of_##name(__u64 *context, args)

/* Of a format in an included file bcc makes nothing, and it has no place for one but the stack. */
#define bpf_printk(format, ...)                                                                    \
	({                                                                                         \
		char format_[] = format;                                                           \
		bpf_trace_printk_(format_, sizeof(format_), ##__VA_ARGS__);                        \
	})

#define barrier_var(var) asm volatile("" : "+r"(var))

#define RAW_TRACEPOINTS
#include "compat_raw.bpf.h"

#endif /* PODCORDER_COMPAT_BCC_BPF_H */
