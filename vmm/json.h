#pragma once

#include <stdio.h>

#include "base/types.h"

/*
 * A writer of JSON in one line.  Keys are NULL inside of arrays.  At most
 * JSON_DEPTH_MAX levels.
 */
#define JSON_DEPTH_MAX 16

struct json {
	FILE *out;
	unsigned depth;
	bool more[JSON_DEPTH_MAX]; /* a value was written at this level */
	char close[JSON_DEPTH_MAX];
};

void json_begin(struct json *j, FILE *out);
void json_object(struct json *j, const char *key);
void json_array(struct json *j, const char *key);
void json_close(struct json *j);
void json_string(struct json *j, const char *key, const char *val);
void json_u64(struct json *j, const char *key, uint64_t val);

/* json_end - close all levels and end the line. */
void json_end(struct json *j);
