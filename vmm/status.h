#pragma once

/*
 * How a run ended; the exit status of `ring3 run`.  Even numbers, so that none
 * can be taken for a guest's isa-debug-exit status, (value << 1) | 1, which is
 * odd.  docs/exit-status.md and `ring3 run --help` show this table.
 */
/* clang-format off */
#define STATUS_LIST(X)                                                         \
	X(POWEROFF,     0,  "poweroff",     "the guest powered itself off")    \
	X(USAGE,        2,  "usage",        "bad option or argument")          \
	X(INPUT,        4,  "input",        "a kernel, initrd, firmware or disk that cannot be used") \
	X(HOST,         6,  "host",         "the host lacks something: memory, /dev/kvm, a KVM call") \
	X(REBOOT,       8,  "reboot",       "the guest asked for a reset")     \
	X(TRIPLE_FAULT, 10, "triple-fault", "a guest CPU shut down after a triple fault") \
	X(CPU_ERROR,    12, "cpu-error",    "KVM could not go on with a guest CPU") \
	X(QUIT,         14, "quit",         "the user quit with the escape key (Ctrl-A x)") \
	X(SIGNAL,       16, "signal",       "ended by SIGINT, SIGTERM or SIGHUP") \
	X(INTERNAL,     18, "internal",     "a bug in ring3")
/* clang-format on */

#define STATUS_ENUM_(id, value, name, text) STATUS_##id = value,
enum status { STATUS_LIST(STATUS_ENUM_) };
#undef STATUS_ENUM_

/* Status of a guest that wrote @value to isa-debug-exit, as QEMU gives it. */
#define STATUS_DEBUG_EXIT(value) ((((value) << 1) | 1) & 0xff)

/* status_name - a word for the statistics: "poweroff", "debug-exit", ... */
const char *status_name(int status);

/* status_text - one line that says how the run ended. */
const char *status_text(int status);
