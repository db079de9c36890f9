#include <stdio.h>
#include <string.h>

#include "base/types.h"
#include "cli/cmd.h"
#include "vmm/log.h"
#include "vmm/status.h"

struct command {
	const char *name;
	int (*run)(int argc, char **argv);
	const char *text;
};

static const struct command commands[] = {
	{ "run", cmd_run, "start a virtual machine" },
	{ "exec", cmd_exec, "run a client of KVM, such as QEMU, on ring3" },
	{ "doctor", cmd_doctor, "what this host can do for ring3" },
};

static void main_usage(FILE *out)
{
	fputs("usage: ring3 COMMAND [ARGUMENT]...\n\n"
	      "ring3 is KVM in user space: it runs x86-64 guests without\n"
	      "virtualization hardware, kernel module or privileges.\n\n"
	      "commands:\n",
	      out);
	for (size_t i = 0; i < ARRAY_SIZE(commands); i++)
		fprintf(out, "  %-8s%s\n", commands[i].name, commands[i].text);
	fputs("\n\"ring3 COMMAND --help\" tells more; "
	      "\"ring3 --version\" tells the version.\n",
	      out);
}

int main(int argc, char **argv)
{
	const char *name = argc > 1 ? argv[1] : NULL;

	if (!name) {
		main_usage(stderr);
		return STATUS_USAGE;
	}
	if (!strcmp(name, "--help") || !strcmp(name, "-h") ||
	    !strcmp(name, "help")) {
		main_usage(stdout);
		return 0;
	}
	if (!strcmp(name, "--version") || !strcmp(name, "-V")) {
		puts("ring3 " RING3_VERSION);
		return 0;
	}
	for (size_t i = 0; i < ARRAY_SIZE(commands); i++)
		if (!strcmp(name, commands[i].name))
			return commands[i].run(argc - 1, argv + 1);
	return log_error(STATUS_USAGE,
			 "unknown command \"%s\"; see \"ring3 --help\"", name);
}
