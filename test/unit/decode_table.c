/* The instruction table's own consistency. */
#include "test/test.h"
#include "x86/feat.h"
#include "x86/table.h"

static const struct insn_row *rows;
static unsigned int nr_rows;

#define CHECK_ROW(row, cond)                                                   \
	do {                                                                   \
		CHECK(cond);                                                   \
		if (!(cond))                                                   \
			printf("in row %td: %s\n", (row)-rows, (row)->name);   \
	} while (0)

static bool may_be_memory(unsigned int class)
{
	return class == OC_E || class == OC_M || class == OC_O ||
	       class == OC_Q || class == OC_W;
}

static void test_operands(const struct insn_row *row)
{
	unsigned int memory = 0, n = 0;

	while (n < MAX_OPERANDS && row->spec[n])
		n++;
	for (unsigned int i = 0; i < MAX_OPERANDS; i++) {
		unsigned int class = operand_specs[row->spec[i]].class;

		if (i >= n)
			CHECK_ROW(row, !row->spec[i] && !row->acc[i]);
		memory += may_be_memory(class);
		/* Constants are only read. */
		if (class >= OC_ONE && class <= OC_A)
			CHECK_ROW(row, !(row->acc[i] & ACC_W));
	}
	CHECK_ROW(row, memory <= 1);
	if (row->attr & IA_LOCK)
		CHECK_ROW(row,
			  may_be_memory(operand_specs[row->spec[0]].class) &&
				  row->acc[0] == ACC_RW);
	if (row->action == ACT_NOP || row->action == ACT_UD)
		CHECK_ROW(row, !row->acc[0] && !row->acc[1]);
}

static void test_attributes(const struct insn_row *row)
{
	uint32_t attr = row->attr;

	CHECK_ROW(row, !(row->flags_w & row->flags_u));
	CHECK_ROW(row, !((row->flags_r | row->flags_w | row->flags_u) &
			 ~(FL_STATUS | FL_DF)));
	CHECK_ROW(row, !(attr & IA_NO64 && attr & (IA_ONLY64 | IA_DEF64)) ||
			       row->action == ACT_HELPER);
	CHECK_ROW(row, !(attr & IA_AVX) || attr & IA_PROT);
	CHECK_ROW(row, !(attr & IA_AVX && attr & (IA_SSE | IA_MMX)));
	CHECK_ROW(row, !(attr & IA_LIGHT) || row->action == ACT_HELPER);
	CHECK_ROW(row,
		  !(attr & (IA_CPL0 | IA_END)) || row->action == ACT_HELPER);
	CHECK_ROW(row, !(attr & IA_REP) || row->action == ACT_STRING ||
			       row->id == ID_INS || row->id == ID_OUTS);
	CHECK_ROW(row, row->feat < NR_FEATS && row->id < NR_INSN_IDS);
	/* Only helpers may write DF. */
	CHECK_ROW(row, !((row->flags_w | row->flags_u) & FL_DF) ||
			       row->action == ACT_HELPER);
	if (attr & IA_SHIFT) {
		do {
			row++;
		} while (row < rows + nr_rows && !(row->attr & IA_COUNT0));
		CHECK(row < rows + nr_rows && !row->flags_w && !row->flags_r);
	}
}

static unsigned int row_index(unsigned int slot)
{
	return slot & SLOT_ROW;
}

/* Slots lead to first rows; groups have their eight rows in order. */
static void test_slots(void)
{
	for (unsigned int map = 0; map < NR_MAPS; map++) {
		for (unsigned int op = 0; op < 256; op++) {
			unsigned int slot = insn_slots[map][op];
			unsigned int row = row_index(slot);

			CHECK(row < nr_rows);
			CHECK(insn_conditions[row] & BIT(KEY_FIRST));
			for (unsigned int i = 0; slot & SLOT_GROUP && i < 8;
			     i++)
				CHECK_EQ(insn_conditions[row + i] >> KEY_REG &
						 7,
					 i);
		}
	}
	CHECK(insn_conditions[nr_rows] & BIT(KEY_FIRST));
}

/* Each row is reached: from a slot, or behind one that is. */
static void test_reachable(void)
{
	bool first[4096] = { true };

	for (unsigned int i = 0; i < NR_MAPS * 256; i++)
		first[row_index(insn_slots[i / 256][i % 256])] = true;
	for (unsigned int i = 0; i < nr_rows; i++)
		CHECK_EQ(first[i], !!(insn_conditions[i] & BIT(KEY_FIRST)));
}

static void test_ids(void)
{
	bool used[NR_INSN_IDS] = { false };

	for (unsigned int i = 0; i < nr_rows; i++)
		used[rows[i].id] = true;
	for (unsigned int i = 0; i < NR_INSN_IDS; i++)
		CHECK(used[i]);
}

static void test_features(void)
{
	for (unsigned int i = 1; i < NR_FEATS; i++) {
		const struct x86_feat_bit *a = &x86_feats[i];

		CHECK(a->name && a->leaf && a->bit < 32);
		for (unsigned int j = 1; j < i; j++) {
			const struct x86_feat_bit *b = &x86_feats[j];

			CHECK(a->leaf != b->leaf || a->subleaf != b->subleaf ||
			      a->reg != b->reg || a->bit != b->bit);
		}
	}
}

int main(void)
{
	rows = insn_rows(&nr_rows);
	for (unsigned int i = 0; i < nr_rows; i++) {
		test_operands(&rows[i]);
		test_attributes(&rows[i]);
	}
	test_slots();
	test_reachable();
	test_ids();
	test_features();
	printf("%u rows, %d mnemonics, %d features\n", nr_rows, NR_INSN_IDS - 1,
	       NR_FEATS - 1);
	return test_done();
}
