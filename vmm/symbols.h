#pragma once

#include <stddef.h>

#include "base/types.h"

/* Names of code addresses: an ELF file's symbols, or a System.map. */
struct symbol {
	uint64_t addr;
	const char *name;
};

struct symbols {
	struct symbol *sym; /* ascending */
	size_t nr;
	uint64_t slide; /* what was added to the file's addresses */
	uint8_t *file;
};

/*
 * symbols_read - @path's symbols of code; 0, or a status, after a message, if
 * it cannot be read or has none.
 */
int symbols_read(struct symbols *s, const char *path);
void symbols_free(struct symbols *s);

/* symbols_addr - where @name is in the file; 0: unknown. */
uint64_t symbols_addr(const struct symbols *s, const char *name);

/* symbols_find - the last symbol at or below @addr, or NULL. */
const struct symbol *symbols_find(const struct symbols *s, uint64_t addr);
