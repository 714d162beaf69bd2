/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * Everything that depends on how the programs are built. Today one way: clang,
 * CO-RE objects, libbpf. Sources include this and never libbpf's headers.
 */
#ifndef PODCORDER_COMPAT_BPF_H
#define PODCORDER_COMPAT_BPF_H

#ifndef __clang__
#error "Podcorder's BPF programs are compiled by clang 14 or newer: GCC's BPF output lacks the CO-RE relocations they need"
#endif

#include "kernel.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_core_read.h>
#include <bpf/bpf_tracing.h>

/*
 * A function the verifier checks once by itself, not again at every call: loops
 * in it cost their price once. Its arguments may be numbers or map values.
 */
#define __checked_once __attribute__((noinline))

#ifdef DEBUG
#define LICENSE_TEXT "GPL" /* bpf_printk is for GPL programs alone */
#define debug(...)   bpf_printk(__VA_ARGS__)
#else
#define LICENSE_TEXT "Dual BSD/GPL"
#define debug(...)                                                                                 \
	do {                                                                                       \
	} while (0)
#endif

#endif /* PODCORDER_COMPAT_BPF_H */
