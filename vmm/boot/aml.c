#include "vmm/boot/aml.h"

#include <string.h>

#define OP_ZERO	   0x00
#define OP_ONE	   0x01
#define OP_NAME	   0x08
#define OP_BYTE	   0x0a
#define OP_WORD	   0x0b
#define OP_DWORD   0x0c
#define OP_SCOPE   0x10
#define OP_BUFFER  0x11
#define OP_PACKAGE 0x12
#define OP_METHOD  0x14
#define OP_EXT	   0x5b
#define OP_ARG0	   0x68
#define OP_STORE   0x70
#define OP_DEVICE  0x82
#define OP_IF	   0xa0
#define OP_RETURN  0xa4

void aml_bytes(struct aml *a, const void *data, size_t len)
{
	if (len > a->size - a->len) {
		a->overflow = true;
		return;
	}
	memcpy(a->buf + a->len, data, len);
	a->len += len;
}

void aml_byte(struct aml *a, uint8_t val)
{
	aml_bytes(a, &val, 1);
}

void aml_int(struct aml *a, uint32_t val)
{
	if (val <= 1) {
		aml_byte(a, val ? OP_ONE : OP_ZERO);
	} else if (val <= 0xff) {
		aml_byte(a, OP_BYTE);
		aml_bytes(a, &val, 1);
	} else if (val <= 0xffff) {
		aml_byte(a, OP_WORD);
		aml_bytes(a, &val, 2);
	} else {
		aml_byte(a, OP_DWORD);
		aml_bytes(a, &val, 4);
	}
}

void aml_path(struct aml *a, const char *name)
{
	aml_bytes(a, name, strlen(name));
}

void aml_name(struct aml *a, const char *name)
{
	aml_byte(a, OP_NAME);
	aml_path(a, name);
}

void aml_return(struct aml *a, const char *name)
{
	aml_byte(a, OP_RETURN);
	aml_path(a, name);
}

void aml_store_arg0(struct aml *a, const char *name)
{
	aml_byte(a, OP_STORE);
	aml_byte(a, OP_ARG0);
	aml_path(a, name);
}

static unsigned aml_hex(char c)
{
	return c <= '9' ? c - '0' : c - 'A' + 10;
}

void aml_eisa_id(struct aml *a, const char *id)
{
	unsigned maker = (id[0] & 31) << 10 | (id[1] & 31) << 5 | (id[2] & 31);
	uint8_t bytes[4] = {
		maker >> 8,
		maker,
		aml_hex(id[3]) << 4 | aml_hex(id[4]),
		aml_hex(id[5]) << 4 | aml_hex(id[6]),
	};

	aml_byte(a, OP_DWORD);
	aml_bytes(a, bytes, sizeof(bytes));
}

size_t aml_begin_scope(struct aml *a, const char *name)
{
	size_t start;

	aml_byte(a, OP_SCOPE);
	start = a->len;
	aml_bytes(a, name, strlen(name));
	return start;
}

size_t aml_begin_device(struct aml *a, const char *name)
{
	size_t start;

	aml_byte(a, OP_EXT);
	aml_byte(a, OP_DEVICE);
	start = a->len;
	aml_bytes(a, name, strlen(name));
	return start;
}

size_t aml_begin_package(struct aml *a, uint8_t elements)
{
	size_t start;

	aml_byte(a, OP_PACKAGE);
	start = a->len;
	aml_byte(a, elements);
	return start;
}

size_t aml_begin_method(struct aml *a, const char *name, uint8_t args)
{
	size_t start;

	aml_byte(a, OP_METHOD);
	start = a->len;
	aml_path(a, name);
	aml_byte(a, args); /* not serialized */
	return start;
}

/* The condition is to follow. */
size_t aml_begin_if(struct aml *a)
{
	aml_byte(a, OP_IF);
	return a->len;
}

/* Puts the package length, which counts itself, before what was written. */
void aml_end(struct aml *a, size_t start)
{
	size_t len = a->len - start, n;
	uint8_t head[3];

	if (len + 1 < 0x40) {
		n = 1;
		head[0] = len + n;
	} else if (len + 2 < 0x1000) {
		n = 2;
		head[0] = 1 << 6 | ((len + n) & 15);
		head[1] = (len + n) >> 4;
	} else {
		n = 3;
		head[0] = 2 << 6 | ((len + n) & 15);
		head[1] = (len + n) >> 4;
		head[2] = (len + n) >> 12;
	}
	aml_bytes(a, head, n); /* makes room, or notes the overflow */
	if (a->overflow)
		return;
	memmove(a->buf + start + n, a->buf + start, len);
	memcpy(a->buf + start, head, n);
}

void aml_resources(struct aml *a, const void *data, size_t len)
{
	static const uint8_t end_tag[] = { 0x79, 0x00 };
	size_t start;

	aml_name(a, "_CRS");
	aml_byte(a, OP_BUFFER);
	start = a->len;
	aml_int(a, len + sizeof(end_tag));
	aml_bytes(a, data, len);
	aml_bytes(a, end_tag, sizeof(end_tag));
	aml_end(a, start);
}
