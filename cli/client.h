#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <sys/stat.h>

/*
 * Whether a program can be a client of the preload library, which the dynamic
 * linker must be willing to load into it.
 */
struct client {
	char path[4096]; /* what will be executed */
	struct stat st;
	bool wants_cpuid; /* it looks for vmx or svm in CPUID; see shim/cpuid.h
			   */
};

/*
 * client_find - looks @name up as execvp() does and checks it.  Returns 0, or
 * after a message the exit status of `ring3 exec`.
 */
int client_find(struct client *c, const char *name);

/*
 * client_library - the path of the preload library: @given if it is not NULL,
 * else beside this program or in ../lib.  0, or after a message an exit status.
 */
int client_library(const char *given, char *path, size_t size);

/* Exit statuses of `ring3 exec` itself, as those of env(1) and nohup(1). */
#define EXEC_FAILED    125
#define EXEC_UNUSABLE  126
#define EXEC_NOT_FOUND 127
