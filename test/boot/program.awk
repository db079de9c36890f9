# program.awk - a C program of many functions for a compiler to work on: awk -v
# functions=N -f program.awk.  Always the same for the same N.  It needs no
# header and no library: _start prints a checksum of all that the functions
# compute, and a newline, and ends.
function rnd(n) {
	seed = (seed * 69069 + 12345) % 4294967296
	return int(seed / 65536) % n
}
function term(t) {
	t = rnd(6)
	if (t == 0)
		return "a"
	if (t == 1)
		return "b"
	if (t == 2)
		return "t[(a + " rnd(64) ") & 63]"
	if (t == 3)
		return "(b >> " 1 + rnd(31) ")"
	if (t == 4)
		return 1 + rnd(100000) "u"
	return "c"
}
function sum(n, s) {
	s = term()
	while (n-- > 0)
		s = s " " substr("+-*^&|", 1 + rnd(6), 1) " " term()
	return s
}
function loop(i) {
	print "\tfor (i = 0; i < " 3 + rnd(40) "; i++) {"
	print "\t\ta += (" sum(2) ") ^ i;"
	print "\t\tt[i & 63] = (u32)(" sum(3) ");"
	if (rnd(2))
		print "\t\tif ((a ^ i) % " 2 + rnd(13) " == 0)\n\t\t\tc -= " sum(1) ";"
	print "\t\tb = (b << " 1 + rnd(30) ") + (" sum(2) ");"
	print "\t}"
}
function choice(i, n) {
	n = 3 + rnd(8)
	print "\tswitch ((" sum(1) ") % " n ") {"
	for (i = 0; i < n - 1; i++) {
		print "\tcase " i ":"
		print "\t\t" (rnd(2) ? "c" : "b") " += " sum(2) ";"
		if (rnd(3))
			print "\t\tbreak;"
	}
	print "\tdefault:\n\t\ta ^= " sum(1) ";\n\t}"
}
function floats() {
	print "\tx = (double)(a & 0xffff) / " 2 + rnd(90) ";"
	print "\tfor (i = 0; i < " 2 + rnd(20) "; i++)"
	print "\t\tx = x * 0." 1 + rnd(9) " + (double)(t[i] & 255);"
	print "\tc += (u64)x;"
}
function record() {
	print "\ts.lo = (u32)b;\n\ts.bits = a & 31;\n\ts.hi = (short)(c >> 3);"
	print "\tq = rnd_at(&s, (u32)(" sum(1) "));"
	print "\ta += q->lo + q->bits - q->hi;"
}
BEGIN {
	seed = 20231122
	print "typedef unsigned int u32;\ntypedef unsigned long u64;"
	print "struct s { u32 lo; u32 bits : 5; short hi; };"
	print "static u32 t[64];"
	print "static struct s pool[16];\n"
	print "static __attribute__((noinline)) struct s *rnd_at(struct s *s, u32 i)"
	print "{\n\tpool[i & 15] = *s;\n\treturn &pool[(i >> 4) & 15];\n}\n"
	for (f = 0; f < functions; f++) {
		print "static u64 f" f "(u64 a, u64 b)\n{"
		print "\tu64 c = " rnd(1000) ", i;\n\tdouble x;\n\tstruct s s, *q;\n"
		parts = 2 + rnd(4)
		for (p = 0; p < parts; p++) {
			kind = rnd(5)
			if (kind < 2)
				loop()
			else if (kind == 2)
				choice()
			else if (kind == 3)
				floats()
			else
				record()
		}
		if (f && rnd(2))
			print "\tif (b & 1)\n\t\tc += f" rnd(f) "(a >> 1, b >> 1);"
		print "\t(void)x, (void)s, (void)q, (void)i;"
		print "\treturn a + b * 3 + c;\n}\n"
	}
	print "static u64 (*const all[])(u64, u64) = {"
	for (f = 0; f < functions; f++)
		print "\tf" f ","
	print "};\n"
	print "static u64 call(u64 nr, u64 a, u64 b, u64 c)\n{"
	print "\tu64 ret;\n"
	print "\t__asm__ volatile(\"syscall\" : \"=a\"(ret)"
	print "\t\t: \"a\"(nr), \"D\"(a), \"S\"(b), \"d\"(c)"
	print "\t\t: \"rcx\", \"r11\", \"memory\");\n\treturn ret;\n}\n"
	print "__attribute__((force_align_arg_pointer)) void _start(void)\n{"
	print "\tchar out[17];\n\tu64 sum = 1;\n\tu32 round, i;\n"
	print "\tfor (round = 0; round < 500; round++)"
	print "\t\tfor (i = 0; i < sizeof(all) / sizeof(*all); i++)"
	print "\t\t\tsum = sum * 31 + all[i](sum, round * 77 + i);"
	print "\tfor (i = 0; i < 16; i++)"
	print "\t\tout[i] = \"0123456789abcdef\"[sum >> (60 - 4 * i) & 15];"
	print "\tout[16] = '\\n';"
	print "\tcall(1, 1, (u64)out, 17);\n\tcall(231, 0, 0, 0);\n}"
}
