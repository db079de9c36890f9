#include "vmm/symbols.h"

#include <elf.h>
#include <stdlib.h>
#include <string.h>

#include "vmm/boot/image.h"
#include "vmm/log.h"
#include "vmm/status.h"

static int symbols_order(const void *a, const void *b)
{
	const struct symbol *x = a, *y = b;

	return x->addr < y->addr ? -1 : x->addr > y->addr;
}

/* Room for @nr; false: no memory. */
static bool symbols_room(struct symbols *s, size_t nr)
{
	s->sym = calloc(nr ? nr : 1, sizeof(s->sym[0]));
	return s->sym;
}

static void symbols_add(struct symbols *s, uint64_t addr, const char *name)
{
	s->sym[s->nr++] = (struct symbol){ addr, name };
}

static const Elf64_Shdr *elf_section(const struct symbols *s, size_t size,
				     const Elf64_Ehdr *eh, unsigned int i)
{
	uint64_t off = eh->e_shoff + (uint64_t)i * sizeof(Elf64_Shdr);
	const Elf64_Shdr *sh = (const void *)(s->file + off);

	if (i >= eh->e_shnum || off % 8 || off > size ||
	    size - off < sizeof(*sh) || sh->sh_offset > size ||
	    (sh->sh_type != SHT_NOBITS && size - sh->sh_offset < sh->sh_size))
		return NULL;
	return sh;
}

/* The functions of one symbol table; @str: its names, which end in a 0. */
static void elf_table(struct symbols *s, const Elf64_Shdr *tab,
		      const Elf64_Shdr *str)
{
	const Elf64_Sym *sym = (const void *)(s->file + tab->sh_offset);
	const char *names = (const char *)s->file + str->sh_offset;
	size_t nr = tab->sh_size / sizeof(*sym);

	if (!str->sh_size || names[str->sh_size - 1] || tab->sh_offset % 8 ||
	    !symbols_room(s, nr))
		return;
	for (size_t i = 0; i < nr; i++) {
		unsigned int type = ELF64_ST_TYPE(sym[i].st_info);

		if ((type == STT_FUNC || type == STT_NOTYPE) &&
		    sym[i].st_value && sym[i].st_name < str->sh_size &&
		    names[sym[i].st_name])
			symbols_add(s, sym[i].st_value, names + sym[i].st_name);
	}
}

static void symbols_elf(struct symbols *s, size_t size)
{
	const Elf64_Ehdr *eh = (const void *)s->file;

	if (size < sizeof(*eh) || eh->e_ident[EI_CLASS] != ELFCLASS64)
		return;
	for (unsigned int i = 0; i < eh->e_shnum && !s->sym; i++) {
		const Elf64_Shdr *tab = elf_section(s, size, eh, i), *str;

		if (!tab || tab->sh_type != SHT_SYMTAB)
			continue;
		str = elf_section(s, size, eh, tab->sh_link);
		if (str)
			elf_table(s, tab, str);
	}
}

/* Lines of an address, a letter, and a name: T and t are code. */
static void symbols_map(struct symbols *s, size_t size)
{
	char *line = (char *)s->file, *end = line + size, *next;
	size_t nr = 0;

	for (char *p = line; p < end; p++)
		nr += *p == '\n';
	if (!symbols_room(s, nr))
		return;
	for (; line < end && (next = memchr(line, '\n', end - line));
	     line = next + 1) {
		uint64_t addr;
		char *p;

		*next = 0;
		addr = strtoull(line, &p, 16);
		if (p != line && p + 3 < next && p[0] == ' ' && p[2] == ' ' &&
		    strchr("TtWw", p[1]))
			symbols_add(s, addr, p + 3);
	}
}

int symbols_read(struct symbols *s, const char *path)
{
	size_t size;

	*s = (struct symbols){ 0 };
	if (image_read("symbols", path, &s->file, &size))
		return STATUS_INPUT;
	if (size > SELFMAG && !memcmp(s->file, ELFMAG, SELFMAG))
		symbols_elf(s, size);
	else
		symbols_map(s, size);
	if (s->nr) {
		qsort(s->sym, s->nr, sizeof(s->sym[0]), symbols_order);
		return 0;
	}
	symbols_free(s);
	return log_error(STATUS_INPUT,
			 "%s: no symbols; a System.map, a guest's "
			 "/proc/kallsyms or an ELF file have them",
			 path);
}

void symbols_free(struct symbols *s)
{
	free(s->sym);
	free(s->file);
	*s = (struct symbols){ 0 };
}

uint64_t symbols_addr(const struct symbols *s, const char *name)
{
	for (size_t i = 0; i < s->nr; i++)
		if (!strcmp(s->sym[i].name, name))
			return s->sym[i].addr;
	return 0;
}

const struct symbol *symbols_find(const struct symbols *s, uint64_t addr)
{
	size_t lo = 0, hi = s->nr;

	addr -= s->slide;
	while (lo < hi) {
		size_t mid = lo + (hi - lo) / 2;

		if (s->sym[mid].addr <= addr)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo ? &s->sym[lo - 1] : NULL;
}
