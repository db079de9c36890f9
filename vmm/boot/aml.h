#pragma once

#include "base/types.h"

/*
 * A writer of AML, as little of it as our DSDT needs.  Source: ACPI
 * Specification, "ACPI Machine Language (AML) Specification".
 */
struct aml {
	uint8_t *buf;
	size_t len, size;
	bool overflow;
};

void aml_bytes(struct aml *a, const void *data, size_t len);
void aml_byte(struct aml *a, uint8_t val);

/* aml_int - an integer constant in its shortest form. */
void aml_int(struct aml *a, uint32_t val);

/* aml_name - Name (@name, ...); the object is to follow. */
void aml_name(struct aml *a, const char *name);

/* aml_eisa_id - a device identifier such as "PNP0501", as an integer. */
void aml_eisa_id(struct aml *a, const char *id);

/*
 * aml_begin_*, aml_end - objects with a length; @name is a name string of four
 * characters, or with a prefix.  aml_end takes what aml_begin_* returned.
 */
size_t aml_begin_scope(struct aml *a, const char *name);
size_t aml_begin_device(struct aml *a, const char *name);
size_t aml_begin_package(struct aml *a, uint8_t elements);
size_t aml_begin_method(struct aml *a, const char *name, uint8_t args);
size_t aml_begin_if(struct aml *a);
void aml_end(struct aml *a, size_t start);

/* aml_return - Return (@name). */
void aml_return(struct aml *a, const char *name);

/* aml_store_arg0 - Store (Arg0, @name). */
void aml_store_arg0(struct aml *a, const char *name);

/* aml_path - a reference to @name. */
void aml_path(struct aml *a, const char *name);

/* aml_resources - Name (_CRS, Buffer of @data and an end tag). */
void aml_resources(struct aml *a, const void *data, size_t len);
