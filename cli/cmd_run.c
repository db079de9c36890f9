#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/cmd.h"
#include "cli/opt.h"
#include "vmm/boot/layout.h"
#include "vmm/direct.h"
#include "vmm/log.h"
#include "vmm/status.h"
#include "vmm/vm.h"

#define MEM_DEFAULT (512ull << 20)

/* What was typed, and the command line put together from it. */
struct run_args {
	struct vm_config config;
	char append[LAYOUT_CMDLINE_MAX];
	bool cpu_help;
	bool direct; /* --direct was given */
};

enum {
	OPT_ACCEL = 256,
	OPT_EXEC,
	OPT_DIRECT,
	OPT_RAW,
	OPT_RAW_ADDR,
	OPT_BOOT,
	OPT_STATS,
	OPT_PROFILE,
	OPT_PROFILE_SYMBOLS,
	OPT_FEP,
	OPT_VMWARE,
	OPT_CPU,
	OPT_FIRMWARE,
	OPT_FIRMWARE_LOG,
	OPT_FIRMWARE_VARS,
	OPT_DISK,
};

static const char short_options[] = ":k:i:a:m:c:hVv";
static const struct option long_options[] = {
	{ "kernel", required_argument, NULL, 'k' },
	{ "initrd", required_argument, NULL, 'i' },
	{ "append", required_argument, NULL, 'a' },
	{ "mem", required_argument, NULL, 'm' },
	{ "cpus", required_argument, NULL, 'c' },
	{ "cpu", required_argument, NULL, OPT_CPU },
	{ "accel", required_argument, NULL, OPT_ACCEL },
	{ "exec", required_argument, NULL, OPT_EXEC },
	{ "direct", required_argument, NULL, OPT_DIRECT },
	{ "force-emulation", no_argument, NULL, OPT_FEP },
	{ "vmware-backdoor", no_argument, NULL, OPT_VMWARE },
	{ "boot", required_argument, NULL, OPT_BOOT },
	{ "raw", no_argument, NULL, OPT_RAW },
	{ "raw-addr", required_argument, NULL, OPT_RAW_ADDR },
	{ "disk", required_argument, NULL, OPT_DISK },
	{ "firmware", required_argument, NULL, OPT_FIRMWARE },
	{ "firmware-vars", required_argument, NULL, OPT_FIRMWARE_VARS },
	{ "firmware-log", required_argument, NULL, OPT_FIRMWARE_LOG },
	{ "stats", optional_argument, NULL, OPT_STATS },
	{ "profile", optional_argument, NULL, OPT_PROFILE },
	{ "profile-symbols", required_argument, NULL, OPT_PROFILE_SYMBOLS },
	{ "verbose", no_argument, NULL, 'v' },
	{ "help", no_argument, NULL, 'h' },
	{ "version", no_argument, NULL, 'V' },
	{ 0 },
};

static const char help_head[] =
	"usage: ring3 run [OPTION]... [--] KERNEL [ARG]...\n\n"
	"Runs a virtual machine until it ends.  KERNEL is a Linux bzImage or\n"
	"vmlinux, a PVH or multiboot ELF kernel, or a real-mode image; ARGs "
	"are\n"
	"put behind the command line.  The first serial port is the terminal;\n"
	"Ctrl-A x quits, Ctrl-A h tells the other keys.\n\n"
	"  -k, --kernel FILE     the kernel, instead of KERNEL\n"
	"  -i, --initrd FILE     initial ramdisk, or multiboot module\n"
	"  -a, --append STR      kernel command line\n"
	"  -m, --mem SIZE        guest memory: 128M, 8G; MiB without a unit\n"
	"                        (default 512M)\n"
	"  -c, --cpus N          number of CPUs, 1 to 254 (default 1)\n"
	"      --cpu MODEL       the processor that CPUID shows, as QEMU's "
	"-cpu\n"
	"                        says it: max,-x2apic; \"help\" lists them\n"
	"      --accel KIND      ring3: this program's own engine; kvm: "
	"/dev/kvm;\n"
	"                        auto: /dev/kvm if it is fast enough "
	"(default)\n"
	"      --exec FORM       fast: translated code (default); careful: "
	"one\n"
	"                        instruction at a time, ring3's second "
	"executor\n"
	"      --direct WHEN     auto, off, always: whether user code runs "
	"natively,\n"
	"                        in processes of its own; auto (default) where "
	"it is\n"
	"                        faster\n"
	"      --force-emulation the bytes of UD2 and \"kvm\" before an "
	"instruction\n"
	"                        have it emulated, for test programs\n"
	"      --vmware-backdoor serve VMware's port 0x5658, in user mode "
	"too\n"
	"      --boot PROTOCOL   auto, linux64, linux32, pvh, multiboot, raw\n"
	"      --raw             same as --boot raw: a flat real-mode image,\n"
	"                        loaded and entered at 0000:7c00 with "
	"DL=0x80;\n"
	"                        the default for unknown files named *.bin\n"
	"      --raw-addr ADDR   load and enter a raw image elsewhere\n"
	"      --disk FILE[,ro][,if=virtio|ata]  a raw image as a disk; as "
	"often as\n"
	"                        there are disks; without KERNEL the first is "
	"booted\n"
	"      --firmware FILE   start firmware instead of a kernel: a BIOS or "
	"UEFI\n"
	"                        image, or \"seabios\" for Debian's\n"
	"      --firmware-vars FILE  flash chip with UEFI's variables, "
	"written to\n"
	"      --firmware-log FILE  what it writes to debug port 0x402\n"
	"      --stats[=json]    afterwards, count the exits, on stderr\n"
	"      --profile[=FILE]  afterwards, tell where CPU time went, on "
	"stderr "
	"or\n"
	"                        in FILE\n"
	"      --profile-symbols FILE  System.map or vmlinux of the guest's "
	"kernel\n"
	"  -v, --verbose         tell what is chosen and what is skipped\n"
	"  -h, --help            this help\n"
	"  -V, --version         the version\n\n"
	"exit status:\n";

#define STATUS_HELP_(id, value, name, text) { value, text },
static const struct {
	int value;
	const char *text;
} status_help[] = { STATUS_LIST(STATUS_HELP_) };

static void run_help(void)
{
	fputs(help_head, stdout);
	for (size_t i = 0; i < ARRAY_SIZE(status_help); i++)
		printf("  %3d  %s\n", status_help[i].value,
		       status_help[i].text);
	puts("  odd  the guest wrote V to port 0xf4 (isa-debug-exit): "
	     "(V * 2 + 1) mod 256");
}

static int run_bad(const char *option, const char *value, const char *want)
{
	return log_error(STATUS_USAGE, "%s \"%s\": %s", option, value, want);
}

static int run_set_mem(struct run_args *a, const char *text)
{
	uint64_t size;

	if (opt_size(text, &size) == -EINVAL)
		return run_bad("--mem", text,
			       "not a size; write 128M, 8G or so");
	if (opt_size(text, &size) || size < RAM_MIN || size > RAM_MAX)
		return run_bad("--mem", text, "must be from 1M to 1T");
	a->config.mem_size = size & PAGE_MASK;
	return 0;
}

static int run_set_cpus(struct run_args *a, const char *text)
{
	uint64_t n;

	if (opt_uint(text, VM_CPUS_MAX, &n) || n == 0)
		return run_bad("--cpus", text,
			       "must be a number from 1 to 254");
	a->config.nr_cpus = n;
	return 0;
}

static int run_set_cpu(struct run_args *a, const char *text)
{
	a->cpu_help = !strcmp(text, "help");
	if (a->cpu_help || !cpumodel_parse(&a->config.cpu, text))
		return 0;
	return STATUS_USAGE;
}

static int run_set_accel(struct run_args *a, const char *text)
{
	static const char *const names[] = {
		[ACCEL_AUTO] = "auto",
		[ACCEL_RING3] = "ring3",
		[ACCEL_KVM] = "kvm",
	};

	for (size_t i = 0; i < ARRAY_SIZE(names); i++)
		if (!strcmp(text, names[i])) {
			a->config.accel = i;
			return 0;
		}
	return run_bad("--accel", text, "must be auto, ring3 or kvm");
}

static int run_set_exec(struct run_args *a, const char *text)
{
	a->config.careful = !strcmp(text, "careful");
	if (a->config.careful || !strcmp(text, "fast"))
		return 0;
	return run_bad("--exec", text, "must be fast or careful");
}

static int run_set_boot(struct run_args *a, const char *text)
{
	if (!image_find_name(text, &a->config.boot.protocol))
		return 0;
	return run_bad("--boot", text,
		       "must be auto, linux64, linux32, pvh, multiboot or raw");
}

static int run_set_raw_addr(struct run_args *a, const char *text)
{
	if (opt_uint(text, LAYOUT_EBDA - 1, &a->config.boot.raw_addr))
		return run_bad("--raw-addr", text,
			       "must be an address below 0x9fc00");
	return 0;
}

static int run_set_firmware(struct run_args *a, const char *text)
{
	a->config.firmware = text;
	if (strcmp(text, "seabios"))
		return 0;
	a->config.firmware = firmware_find();
	if (a->config.firmware)
		return 0;
	return log_error(STATUS_INPUT,
			 "SeaBIOS is not installed; install Debian's package "
			 "\"seabios\" or give its file with --firmware");
}

/* The path is a part of the copy: it is never freed. */
static int run_add_disk(struct run_args *a, const char *text)
{
	struct vm_config *config = &a->config;
	const char *bad = NULL;
	char *copy;

	if (config->nr_disks == DISKS_MAX)
		return run_bad("--disk", text, "there can be 8 disks at most");
	copy = strdup(text);
	if (!copy)
		return log_error(STATUS_HOST, "no memory");
	if (!opt_disk(copy, &config->disks[config->nr_disks++], &bad))
		return 0;
	return run_bad("--disk", *bad ? bad : text,
		       "must be FILE[,ro][,format=raw][,if=virtio|ata]");
}

static int run_set_stats(struct run_args *a, const char *text)
{
	if (!text || !strcmp(text, "text"))
		a->config.stats = STATS_TEXT;
	else if (!strcmp(text, "json"))
		a->config.stats = STATS_JSON;
	else
		return run_bad("--stats", text, "must be text or json");
	return 0;
}

static int run_append(struct run_args *a, const char *text)
{
	size_t len = strlen(a->append);
	int n = snprintf(a->append + len, sizeof(a->append) - len, "%s%s",
			 len && *text ? " " : "", text);

	if (len + n < sizeof(a->append))
		return 0;
	return log_error(STATUS_USAGE,
			 "the kernel command line has more than the %zu bytes "
			 "that can be passed",
			 sizeof(a->append) - 1);
}

/* One option; 0, or a status that ends the program. */
static int run_option(struct run_args *a, int opt, const char *arg)
{
	switch (opt) {
	case 'k':
		a->config.boot.kernel = arg;
		return 0;
	case 'i':
		a->config.boot.initrd = arg;
		return 0;
	case 'a':
		return run_append(a, arg);
	case 'm':
		return run_set_mem(a, arg);
	case 'c':
		return run_set_cpus(a, arg);
	case 'v':
		log_verbose(1);
		return 0;
	case OPT_CPU:
		return run_set_cpu(a, arg);
	case OPT_ACCEL:
		return run_set_accel(a, arg);
	case OPT_EXEC:
		return run_set_exec(a, arg);
	case OPT_DIRECT:
		a->direct = true;
		return direct_set(arg);
	case OPT_VMWARE:
		a->config.vmware_backdoor = true;
		return 0;
	case OPT_FEP:
		a->config.forced_emulation = true;
		return 0;
	case OPT_BOOT:
		return run_set_boot(a, arg);
	case OPT_RAW:
		a->config.boot.protocol = BOOT_RAW;
		return 0;
	case OPT_RAW_ADDR:
		return run_set_raw_addr(a, arg);
	case OPT_DISK:
		return run_add_disk(a, arg);
	case OPT_FIRMWARE:
		return run_set_firmware(a, arg);
	case OPT_FIRMWARE_VARS:
		a->config.firmware_vars = arg;
		return 0;
	case OPT_FIRMWARE_LOG:
		a->config.firmware_log = arg;
		return 0;
	case OPT_STATS:
		return run_set_stats(a, arg);
	case OPT_PROFILE:
		a->config.profile.on = true;
		a->config.profile.file = arg;
		return 0;
	case OPT_PROFILE_SYMBOLS:
		a->config.profile.symbols = arg;
		return 0;
	}
	return STATUS_INTERNAL;
}

static int run_bad_option(char **argv, int opt)
{
	const char *option = argv[optind - 1];
	char letter[] = { '-', optopt, 0 };

	if (optopt && optopt < 256 && strncmp(option, "--", 2))
		option = letter;
	if (opt == ':')
		return log_error(STATUS_USAGE,
				 "option %s needs a value; see "
				 "\"ring3 run --help\"",
				 option);
	return log_error(STATUS_USAGE,
			 "unknown option or useless value: %s; see "
			 "\"ring3 run --help\"",
			 option);
}

/* What is left of the options: KERNEL [ARG]... */
static int run_operands(struct run_args *a, int argc, char **argv)
{
	int i = optind, r = 0;

	/* Disks without a kernel: the firmware looks what is on them. */
	if (a->config.nr_disks && !a->config.firmware &&
	    !a->config.boot.kernel && i == argc)
		r = run_set_firmware(a, "seabios");
	if (r)
		return r;
	if (a->config.firmware) {
		if (a->config.boot.kernel || a->config.boot.initrd || i < argc)
			return log_error(STATUS_USAGE,
					 "--firmware boots from a disk; it "
					 "takes no kernel or initrd");
		return 0;
	}
	if (!a->config.boot.kernel && i < argc)
		a->config.boot.kernel = argv[i++];
	if (!a->config.boot.kernel)
		return log_error(STATUS_USAGE,
				 "no kernel given; see \"ring3 run --help\"");
	for (; i < argc && !r; i++)
		r = run_append(a, argv[i]);
	return r;
}

int cmd_run(int argc, char **argv)
{
	static struct run_args a;
	int opt, r;

	a.config = (struct vm_config){
		.mem_size = MEM_DEFAULT,
		.nr_cpus = 1,
		.boot = { .raw_addr = BOOT_RAW_ADDR, .append = a.append },
	};
	opterr = 0;
	while ((opt = getopt_long(argc, argv, short_options, long_options,
				  NULL)) != -1) {
		if (opt == 'h') {
			run_help();
			return 0;
		}
		if (opt == 'V') {
			puts("ring3 " RING3_VERSION);
			return 0;
		}
		if (opt == '?' || opt == ':')
			return run_bad_option(argv, opt);
		r = run_option(&a, opt, optarg);
		if (r)
			return r;
	}
	if (a.cpu_help)
		return vm_cpu_help(a.config.accel);
	r = a.direct ? 0 : direct_set(NULL);
	if (!r)
		r = run_operands(&a, argc, argv);
	return r ? r : vm_run(&a.config);
}
