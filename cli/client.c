#include "cli/client.h"

#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "base/types.h"
#include "vmm/log.h"

#define LIBRARY "libring3-kvm.so"

/* A mapped file. */
struct image {
	const unsigned char *p;
	size_t size;
};

/*
 * kvmtool executes CPUID itself and refuses to start without VMX or SVM; this
 * is its message.
 */
static const char cpuid_message[] =
	"Your CPU does not support hardware virtualization";

/* find - the path of @name by PATH; 0 or -errno. */
static int find(struct client *c, const char *name)
{
	const char *dirs = getenv("PATH"), *end;
	int err = -ENOENT;

	if (strchr(name, '/')) {
		snprintf(c->path, sizeof(c->path), "%s", name);
		return stat(c->path, &c->st) ? -errno : 0;
	}
	for (dirs = dirs ? dirs : "/usr/bin:/bin";; dirs = end + 1) {
		end = strchrnul(dirs, ':');
		snprintf(c->path, sizeof(c->path), "%.*s%s%s",
			 (int)(end - dirs), dirs, end == dirs ? "" : "/", name);
		if (!stat(c->path, &c->st) && S_ISREG(c->st.st_mode)) {
			if (!access(c->path, X_OK))
				return 0;
			err = -EACCES;
		}
		if (!*end)
			return err;
	}
}

/* The dynamic linker ignores preload libraries where privileges are gained. */
static int check_privileges(const struct client *c)
{
	bool suid = (c->st.st_mode & S_ISUID) && c->st.st_uid != geteuid();
	bool sgid = (c->st.st_mode & S_ISGID) && c->st.st_gid != getegid();

	if (suid || sgid)
		return log_error(EXEC_UNUSABLE,
				 "%s is set%cid: nothing can be preloaded into "
				 "it; run a copy without that bit, or run it "
				 "as its owner",
				 c->path, suid ? 'u' : 'g');
	if (geteuid() != 0 &&
	    getxattr(c->path, "security.capability", NULL, 0) > 0)
		return log_error(EXEC_UNUSABLE,
				 "%s has file capabilities: nothing can be "
				 "preloaded into it; run a copy without them",
				 c->path);
	return 0;
}

static const Elf64_Phdr *segment(const struct image *m, uint32_t type)
{
	const Elf64_Ehdr *e = (const void *)m->p;
	const Elf64_Phdr *ph = (const void *)(m->p + e->e_phoff);

	if (e->e_phentsize != sizeof(*ph) || e->e_phoff > m->size ||
	    e->e_phnum * sizeof(*ph) > m->size - e->e_phoff)
		return NULL;
	for (unsigned int i = 0; i < e->e_phnum; i++)
		if (ph[i].p_type == type)
			return &ph[i];
	return NULL;
}

static int check_elf(struct client *c, const struct image *m)
{
	const Elf64_Ehdr *e = (const void *)m->p;

	if (m->size < sizeof(*e))
		return log_error(EXEC_UNUSABLE, "%s: not a whole ELF file",
				 c->path);
	if (e->e_ident[EI_CLASS] != ELFCLASS64 || e->e_machine != EM_X86_64)
		return log_error(EXEC_UNUSABLE,
				 "%s is no 64-bit x86-64 program: the preload "
				 "library cannot go into it",
				 c->path);
	if (!segment(m, PT_INTERP))
		return log_error(EXEC_UNUSABLE,
				 "%s is statically linked: nothing can be "
				 "preloaded into it; use a dynamically linked "
				 "build of it",
				 c->path);
	c->wants_cpuid =
		memmem(m->p, m->size, cpuid_message, sizeof(cpuid_message) - 1);
	return 0;
}

static int check_image(struct client *c)
{
	struct image m = { .size = c->st.st_size };
	int fd = open(c->path, O_RDONLY | O_CLOEXEC), r = 0;
	void *p = MAP_FAILED;

	/* What may be executed but not read is taken on trust. */
	if (fd < 0)
		return 0;
	if (m.size)
		p = mmap(NULL, m.size, PROT_READ, MAP_PRIVATE, fd, 0);
	close(fd);
	if (p == MAP_FAILED)
		return 0;
	m.p = p;
	if (m.size > SELFMAG && !memcmp(m.p, ELFMAG, SELFMAG))
		r = check_elf(c, &m);
	munmap(p, m.size);
	return r;
}

int client_find(struct client *c, const char *name)
{
	int r;

	memset(c, 0, sizeof(*c));
	r = find(c, name);
	if (r == -ENOENT)
		return log_error(EXEC_NOT_FOUND, "%s: no such program", name);
	if (r)
		return log_error(EXEC_UNUSABLE, "%s: %s", name, strerror(-r));
	if (!S_ISREG(c->st.st_mode) || access(c->path, X_OK))
		return log_error(EXEC_UNUSABLE, "%s: not an executable file",
				 c->path);
	r = check_privileges(c);
	return r ? r : check_image(c);
}

int client_library(const char *given, char *path, size_t size)
{
	static const char *const places[] = { "", "../lib/", "../lib/ring3/" };
	char self[4096], *slash, found[4096 + 64] = "";
	ssize_t n = readlink("/proc/self/exe", self, sizeof(self) - 1);

	self[n < 0 ? 0 : n] = 0;
	slash = strrchr(self, '/');
	if (slash)
		slash[1] = 0;
	for (size_t i = 0; !given && i < ARRAY_SIZE(places); i++) {
		snprintf(found, sizeof(found), "%s%s%s", self, places[i],
			 LIBRARY);
		if (!access(found, R_OK))
			break;
	}
	if (!realpath(given ? given : found, self))
		return log_error(EXEC_FAILED,
				 "%s: %s; name the preload library by "
				 "--library",
				 given ? given : LIBRARY, strerror(errno));
	/* The dynamic linker splits its list at these. */
	if (strpbrk(self, ": "))
		return log_error(EXEC_FAILED,
				 "%s: a path with a space or a colon cannot be "
				 "preloaded; move it",
				 self);
	snprintf(path, size, "%s", self);
	return 0;
}
