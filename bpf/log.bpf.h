/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * Lines for people, in a debug build alone: to the kernel's trace pipe, which
 * `podcorder doctor --trace` reads. At most three values a line, as
 * bpf_trace_printk takes; what is written `class=%u` or `reason=%u` is shown by
 * its name. In every other build, and in a source that says SILENT, a line is
 * nothing at all.
 */
#ifndef PODCORDER_LOG_BPF_H
#define PODCORDER_LOG_BPF_H

#if defined(DEBUG) && !defined(SILENT)
#define LOGGING	     1
#define LICENSE_TEXT "GPL" /* bpf_trace_printk is for GPL programs alone */

/* Lines above this level are not written: 1 error, 2 info, 3 debug. */
KNOB(__u32, trace_level, 2);

#define log_line(level, name, text, ...)                                                           \
	do {                                                                                       \
		if (trace_level >= (level))                                                        \
			bpf_printk("podcorder: " name ": " text, ##__VA_ARGS__);                   \
	} while (0)
#else
#define LOGGING	     0
#define LICENSE_TEXT "Dual BSD/GPL"

#define log_line(...)                                                                              \
	do {                                                                                       \
	} while (0)
#endif

#define log_error(...) log_line(1, "error", __VA_ARGS__) /* a record is lost */
#define log_info(...)  log_line(2, "info", __VA_ARGS__)	 /* a session, a container */
#define log_debug(...)                                                                             \
	log_line(3, "debug", __VA_ARGS__) /* each event that is not recorded, and why */

#define PID ((__u32)(bpf_get_current_pid_tgid() >> 32))

/* Why an event of the current process is not recorded. */
#define log_unwanted(why, class, cgroup_id)                                                        \
	log_debug(why ": class=%u pid=%u cgroup=%llu", class, PID, cgroup_id)

#endif /* PODCORDER_LOG_BPF_H */
