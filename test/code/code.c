/*
 * The translator's code for a list of guest code and for each row of the
 * instruction table, as text: written to the files that are kept (--write), or
 * compared with them.  Better and worse code shows as a difference to read.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "test/code/print.h"
#include "test/code/rig.h"
#include "test/unit/opcode_walk.h"

struct code_case {
	const char *name;
	const uint8_t *start, *end;
};

extern const struct code_case code_cases[]; /* ends with name NULL */

static void listing(FILE *f)
{
	for (const struct code_case *c = code_cases; c->name; c++) {
		bool pic = !strncmp(c->name, "pic_", 4);
		const struct block *b = rig_translate(
			c->start, c->end - c->start, pic ? MODE_PIC : 0);

		fprintf(f, "== %s\n", c->name);
		if (b)
			print_block(f, vcpu_dbt(rig_cpu)->d, b, rig_code());
		else
			fputs("careful form\n", f);
		fputc('\n', f);
	}
}

/* A form of a row: its memory operand, if it has one, is in memory or not. */
struct form {
	uint8_t bytes[15];
	uint8_t len; /* 0: none was met */
	unsigned int insns;
	int more; /* bytes than the guest's */
	bool known;
};

static const struct insn_row *rows;
static unsigned int nr_rows;
static struct form (*forms)[2];

/* Keeps the first encoding of each form. */
static void visit(const uint8_t bytes[15], enum code_size cs)
{
	struct form *form;
	struct insn i;

	if (insn_decode(bytes, 15, cs, &i) != DECODE_OK)
		return;
	form = &forms[i.row - rows][i.has_mem];
	if (form->len || i.base == RSP || i.index != GPR_NONE || i.rip_rel ||
	    (i.row->action != ACT_COPY && i.row->action != ACT_STACK))
		return;
	memcpy(form->bytes, bytes, i.len);
	form->len = i.len;
}

/* Counts what is in line for the form's instruction. */
static void measure(struct form *form)
{
	uint8_t code[16];
	const struct block *b;
	unsigned int size;

	memcpy(code, form->bytes, form->len);
	code[form->len] = 0x90; /* so that it has an end */
	b = rig_translate(code, form->len + 1, 0);
	if (!b || b->nr_insns < 2)
		return;
	size = b->map[1].host - b->map[0].host;
	form->more = size - form->len;
	form->insns = print_count(b->ientry + b->map[0].host, size);
	form->known = true;
}

static int form_order(const void *a, const void *b)
{
	const struct form *x = *(const struct form *const *)a;
	const struct form *y = *(const struct form *const *)b;

	if (x->insns != y->insns)
		return x->insns < y->insns ? -1 : 1;
	if (x->more != y->more)
		return x->more < y->more ? -1 : 1;
	return x < y ? -1 : x > y;
}

static const char *form_name(const struct form *form)
{
	return rows[(form - forms[0]) / 2].name;
}

/* The names of @list[0..n), those that several rows have once. */
static void list_names(FILE *f, const struct form **list, unsigned int n)
{
	unsigned int col = 0;

	for (unsigned int k = 0; k < n; k++) {
		const char *name = form_name(list[k]);

		if (k && !strcmp(name, form_name(list[k - 1])))
			continue;
		if (!col || col + strlen(name) > 78) {
			fputs("\n ", f);
			col = 1;
		}
		col += fprintf(f, " %s", name);
	}
	fputs("\n\n", f);
}

/* Rows by how much code they take, so that a change of all moves few lines. */
static void list_forms(FILE *f, unsigned int mem)
{
	const struct form **list = calloc(nr_rows, sizeof(*list));
	unsigned int n = 0, end;

	for (unsigned int r = 0; list && r < nr_rows; r++)
		if (forms[r][mem].known)
			list[n++] = &forms[r][mem];
	qsort(list, n, sizeof(*list), form_order);
	for (unsigned int k = 0; k < n; k = end) {
		for (end = k + 1; end < n; end++)
			if (list[end]->insns != list[k]->insns ||
			    list[end]->more != list[k]->more)
				break;
		fprintf(f, "%s: %u instruction%s, %+d bytes",
			mem ? "memory" : "registers", list[k]->insns,
			list[k]->insns == 1 ? "" : "s", list[k]->more);
		list_names(f, list + k, end - k);
	}
	free(list);
}

static void by_row(FILE *f)
{
	rows = insn_rows(&nr_rows);
	forms = calloc(nr_rows, sizeof(*forms));
	walk_opcodes(CODE64, visit);
	for (unsigned int r = 0; r < nr_rows; r++)
		for (unsigned int mem = 0; mem < 2; mem++)
			if (forms[r][mem].len)
				measure(&forms[r][mem]);
	fputs("Host code in line for each row of the instruction table, alone "
	      "in a block:\nits instructions, and bytes more than the guest's "
	      "instruction has.\n\n",
	      f);
	list_forms(f, 0);
	list_forms(f, 1);
	free(forms);
}

static const struct {
	const char *name;
	void (*make)(FILE *f);
} files[] = { { "listing.txt", listing }, { "rows.txt", by_row } };

/* The text as it is now, in memory. */
static char *text_of(void (*make)(FILE *f))
{
	char *text = NULL;
	size_t size;
	FILE *f = open_memstream(&text, &size);

	make(f);
	fclose(f);
	return text;
}

static bool same(const char *path, const char *text)
{
	size_t n = strlen(text);
	FILE *f = fopen(path, "r");
	bool same = false;
	char *kept;

	if (!f)
		return false;
	kept = malloc(n + 2);
	if (kept)
		same = fread(kept, 1, n + 1, f) == n && !memcmp(kept, text, n);
	fclose(f);
	free(kept);
	return same;
}

static void write_to(const char *path, const char *text)
{
	FILE *f = fopen(path, "w");

	if (!f || fputs(text, f) < 0 || fclose(f)) {
		perror(path);
		exit(2);
	}
}

int main(int argc, char **argv)
{
	bool write = argc > 1 && !strcmp(argv[1], "--write");
	const char *dir = argc > 2 ? argv[2] : "test/code";
	int passed = 0, failed = 0;

	rig_setup();
	for (size_t i = 0; i < sizeof(files) / sizeof(files[0]); i++) {
		char *text = text_of(files[i].make), path[512], new[512];

		snprintf(path, sizeof(path), "%s/%s", dir, files[i].name);
		snprintf(new, sizeof(new), "%s/%s.new",
			 argc > 3 ? argv[3] : ".", files[i].name);
		if (write) {
			write_to(path, text);
		} else if (same(path, text)) {
			passed++;
		} else {
			failed++;
			write_to(new, text);
			printf("%s: the code is another one: look at the "
			       "difference to %s, then \"make code-expect\"\n",
			       path, new);
		}
		free(text);
	}
	printf("%d passed, %d failed\n", passed, failed);
	return failed > 0;
}
