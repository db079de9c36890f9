/* Lengths of 64-bit code by the short way, against the decoder's. */
#include "x86/length.h"

#include "test/test.h"
#include "test/unit/opcode_walk.h"

static unsigned long cases, undefined, different;

static void visit(const uint8_t bytes[15], enum code_size cs)
{
	uint8_t room[INSN_LENGTH_READS] = { 0 };
	unsigned int len;
	struct insn insn;
	bool known;

	memcpy(room, bytes, 15);
	len = insn_length64(room).len;
	known = insn_decode(bytes, 15, cs, &insn) == DECODE_OK;
	cases++;
	/* EVEX is not offered, but the decoder knows its length. */
	if (!known || (insn.row->id == ID_INVALID && bytes[0] != 0x62)) {
		undefined++;
		return;
	}
	if (len == insn.len)
		return;
	if (different++ < 20) {
		printf("%s: %u, decoded %u:", insn.row->name, len, insn.len);
		for (int i = 0; i < 15; i++)
			printf(" %02x", bytes[i]);
		printf("\n");
	}
}

int main(void)
{
	walk_opcodes(CODE64, visit);
	printf("%lu cases, %lu undefined\n", cases, undefined);
	CHECK(cases - undefined > 100000);
	CHECK_EQ(different, 0);
	return test_done();
}
