#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/types.h"
#include "cli/client.h"
#include "cli/cmd.h"
#include "vmm/direct.h"
#include "vmm/log.h"
#include "vmm/status.h"

enum { OPT_EXEC = 256, OPT_LOG, OPT_STATS, OPT_LIBRARY, OPT_CPUID, OPT_DIRECT };

/* "+": the client's own options are not ours. */
static const char short_options[] = "+:h";
static const struct option long_options[] = {
	{ "exec", required_argument, NULL, OPT_EXEC },
	{ "direct", required_argument, NULL, OPT_DIRECT },
	{ "log", required_argument, NULL, OPT_LOG },
	{ "stats", optional_argument, NULL, OPT_STATS },
	{ "cpuid", required_argument, NULL, OPT_CPUID },
	{ "library", required_argument, NULL, OPT_LIBRARY },
	{ "help", no_argument, NULL, 'h' },
	{ 0 },
};

static const char help[] =
	"usage: ring3 exec [OPTION]... [--] CLIENT [ARG]...\n\n"
	"Runs a program that uses KVM, such as qemu-system-x86_64 -accel kvm, "
	"on\n"
	"ring3's engine in place of /dev/kvm, which need not exist.  CLIENT "
	"must be\n"
	"a dynamically linked x86-64 program (or a script that runs one).\n\n"
	"      --exec FORM     fast: translated code (default); careful: one\n"
	"                      instruction at a time, ring3's second executor\n"
	"      --direct WHEN   auto, off, always: whether guest user code "
	"runs\n"
	"                      natively, in processes of its own; auto "
	"(default)\n"
	"                      where it is faster\n"
	"      --log FILE      write each KVM request and its result there\n"
	"      --stats[=FILE]  at the end, write counts of requests there\n"
	"                      (default /dev/stderr)\n"
	"      --cpuid WHEN    on, off, auto: whether CLIENT sees hardware\n"
	"                      virtualization when it executes CPUID itself;\n"
	"                      auto (default) knows kvmtool\n"
	"      --library FILE  the preload library, instead of "
	"libring3-kvm.so\n"
	"                      beside this program or in ../lib\n"
	"  -h, --help          this help\n\n"
	"exit status: CLIENT's, or\n"
	"    2  bad option or argument\n"
	"  125  ring3 itself failed\n"
	"  126  CLIENT cannot be run, or cannot be given a library\n"
	"  127  no such CLIENT\n";

struct exec_args {
	const char *exec, *log, *stats, *library, *cpuid, *direct;
};

static int exec_bad(const char *option, const char *value, const char *want)
{
	return log_error(STATUS_USAGE, "%s \"%s\": %s", option, value, want);
}

static int exec_option(struct exec_args *a, int opt, const char *arg)
{
	switch (opt) {
	case OPT_EXEC:
		a->exec = arg;
		if (strcmp(arg, "careful") && strcmp(arg, "fast"))
			return exec_bad("--exec", arg,
					"must be fast or careful");
		return 0;
	case OPT_DIRECT:
		a->direct = arg;
		return direct_set(arg);
	case OPT_LOG:
		a->log = arg;
		return 0;
	case OPT_STATS:
		a->stats = arg ? arg : "/dev/stderr";
		return 0;
	case OPT_LIBRARY:
		a->library = arg;
		return 0;
	case OPT_CPUID:
		a->cpuid = arg;
		if (strcmp(arg, "on") && strcmp(arg, "off") &&
		    strcmp(arg, "auto"))
			return exec_bad("--cpuid", arg,
					"must be on, off or auto");
		return 0;
	}
	return EXEC_FAILED;
}

/* put_env - sets @name, or unsets it for NULL. */
static void put_env(const char *name, const char *value)
{
	if (value)
		setenv(name, value, 1);
	else
		unsetenv(name);
}

static int set_environment(const struct exec_args *a, const struct client *c)
{
	const char *others = getenv("LD_PRELOAD");
	char library[4096], list[8192], file[64];
	int r = client_library(a->library, library, sizeof(library));

	if (r)
		return r;
	snprintf(list, sizeof(list), "%s%s%s", library,
		 others && *others ? ":" : "", others ? others : "");
	put_env("LD_PRELOAD", list);
	put_env("RING3_EXEC", a->exec);
	put_env("RING3_LOG", a->log);
	put_env("RING3_STATS", a->stats);
	snprintf(file, sizeof(file), "%lx:%lx", (unsigned long)c->st.st_dev,
		 (unsigned long)c->st.st_ino);
	put_env("RING3_CPUID",
		!strcmp(a->cpuid, "on") ||
				(!strcmp(a->cpuid, "auto") && c->wants_cpuid)
			? file
			: NULL);
	return 0;
}

int cmd_exec(int argc, char **argv)
{
	struct exec_args a = { .cpuid = "auto" };
	static struct client client;
	int opt, r;

	opterr = 0;
	while ((opt = getopt_long(argc, argv, short_options, long_options,
				  NULL)) != -1) {
		if (opt == 'h') {
			fputs(help, stdout);
			return 0;
		}
		if (opt == '?' || opt == ':')
			return log_error(STATUS_USAGE,
					 "%s: unknown option or no value; see "
					 "\"ring3 exec --help\"",
					 argv[optind - 1]);
		r = exec_option(&a, opt, optarg);
		if (r)
			return r;
	}
	if (optind == argc)
		return log_error(STATUS_USAGE, "no client given; see "
					       "\"ring3 exec --help\"");
	r = a.direct ? 0 : direct_set(NULL);
	if (!r)
		r = client_find(&client, argv[optind]);
	if (!r && !(a.exec && !strcmp(a.exec, "careful")) && direct_check())
		r = EXEC_FAILED;
	if (!r)
		r = set_environment(&a, &client);
	if (r)
		return r;
	execv(client.path, argv + optind);
	return log_error(EXEC_UNUSABLE, "%s: %s", client.path, strerror(errno));
}
