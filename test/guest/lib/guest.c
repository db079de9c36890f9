#include "test/guest/lib/guest.h"

#include "test/guest/lib/cpu.h"

enum { SERIAL = 0x3f8, SERIAL_LSR = 0x3fd, LSR_THRE = 0x20, EXIT_PORT = 0xf4 };
/* FAIL lines printed of one test; the rest are counted only. */
#define FAIL_LINES 12

int test_round;
static const char *current = "?";
static unsigned passed, failed, skipped, failures;

static void put(char c)
{
	while (!(inb(SERIAL_LSR) & LSR_THRE))
		;
	outb(SERIAL, c);
}

static void put_number(u64 v, unsigned base)
{
	char buf[24];
	int n = 0;

	/* No 64-bit division: the 32-bit library has no helper for it. */
	if (base == 16) {
		do {
			buf[n++] = "0123456789abcdef"[v & 15];
			v >>= 4;
		} while (v);
	} else {
		u32 w = v;
		do {
			buf[n++] = '0' + w % 10;
			w /= 10;
		} while (w);
	}
	while (n)
		put(buf[--n]);
}

/* A structure, since a va_list itself may be passed by value. */
struct args {
	va_list ap;
};

static const char *put_arg(const char *f, struct args *a)
{
	bool is_long = false;
	u64 v = 0;

	while (*f == 'l') {
		is_long = true;
		f++;
	}
	if (*f == 's') {
		for (const char *s = va_arg(a->ap, const char *); *s; s++)
			put(*s);
		return f;
	}
	if (is_long && f[-2] == 'l')
		v = va_arg(a->ap, u64);
	else if (is_long)
		v = va_arg(a->ap, word);
	else
		v = va_arg(a->ap, u32);
	if (*f == 'c') {
		put((char)v);
	} else if (*f == 'x') {
		put_number(v, 16);
	} else {
		if (*f == 'd' && (int)v < 0) {
			put('-');
			v = -(int)v;
		}
		put_number(v, 10);
	}
	return f;
}

void print(const char *fmt, ...)
{
	struct args a;

	va_start(a.ap, fmt);
	for (const char *f = fmt; *f; f++) {
		if (*f != '%') {
			put(*f);
			continue;
		}
		if (*++f == '%')
			put('%');
		else
			f = put_arg(f, &a);
	}
	va_end(a.ap);
}

void guest_exit(u32 status)
{
	outl(EXIT_PORT, status);
	/* No such port: ask the legacy Bochs port, then stop. */
	for (const char *s = "Shutdown"; *s; s++)
		outb(0x8900, *s);
	for (;;)
		asm volatile("cli; hlt");
}

void test_fail(const char *what, u64 got, u64 want)
{
	if (failures++ < FAIL_LINES)
		print("FAIL %s: %s: got %llx expected %llx (round %d)\n",
		      current, what, (unsigned long long)got,
		      (unsigned long long)want, test_round);
}

static void run(const char *name, void (*fn)(void), int rounds, bool quiet)
{
	current = name;
	failures = 0;
	for (test_round = 0; test_round < rounds; test_round++)
		fn();
	if (failures) {
		failed++;
		if (failures > FAIL_LINES)
			print("FAIL %s: %u checks failed in all\n", name,
			      failures);
	} else {
		passed++;
		if (!quiet)
			print("PASS %s\n", name);
	}
}

void test_run(const char *name, void (*fn)(void))
{
	run(name, fn, ROUNDS, false);
}

void test_once(const char *name, void (*fn)(void))
{
	run(name, fn, 1, false);
}

void test_quiet(const char *name, void (*fn)(void))
{
	run(name, fn, ROUNDS, true);
}

void test_skip(const char *name, const char *why)
{
	skipped++;
	print("SKIP %s: %s\n", name, why);
}

void test_end(void)
{
	print("SUMMARY %u passed, %u failed, %u skipped\n", passed, failed,
	      skipped);
	guest_exit(failed ? 1 : 0);
}

void *memset(void *dst, int c, size_t n)
{
	void *to = dst;

	asm volatile("rep stosb" : "+D"(to), "+c"(n) : "a"(c) : "memory");
	return dst;
}

void *memcpy(void *dst, const void *src, size_t n)
{
	void *to = dst;

	asm volatile("rep movsb" : "+D"(to), "+S"(src), "+c"(n) : : "memory");
	return dst;
}

int memcmp(const void *a, const void *b, size_t n)
{
	const u8 *p = a, *q = b;

	for (; n >= sizeof(word) && *(const word *)p == *(const word *)q;
	     n -= sizeof(word)) {
		p += sizeof(word);
		q += sizeof(word);
	}
	for (; n--; p++, q++) {
		if (*p != *q)
			return *p - *q;
	}
	return 0;
}

size_t strlen(const char *s)
{
	size_t n = 0;

	while (((volatile const char *)s)[n])
		n++;
	return n;
}
