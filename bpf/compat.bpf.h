/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * Everything that depends on how the programs are built. Two ways: clang and
 * libbpf (CO-RE objects, compiled beforehand), or bcc (compiled on the node).
 * Sources include this and never libbpf's or bcc's headers.
 */
#ifndef PODCORDER_COMPAT_BPF_H
#define PODCORDER_COMPAT_BPF_H

#ifndef __clang__
#error "Podcorder's BPF programs are compiled by clang 14 or newer: GCC's BPF output lacks the CO-RE relocations they need"
#endif

#ifdef LOADER_BCC
#include "compat_bcc.bpf.h"
#else
#include "compat_core.bpf.h"
#endif

#include "log.bpf.h"

#endif /* PODCORDER_COMPAT_BPF_H */
