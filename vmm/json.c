#include "vmm/json.h"

static void json_put_string(struct json *j, const char *s)
{
	fputc('"', j->out);
	for (; *s; s++) {
		if (*s == '"' || *s == '\\')
			fprintf(j->out, "\\%c", *s);
		else if ((unsigned char)*s < 0x20)
			fprintf(j->out, "\\u%04x", *s);
		else
			fputc(*s, j->out);
	}
	fputc('"', j->out);
}

static void json_key(struct json *j, const char *key)
{
	if (j->more[j->depth])
		fputc(',', j->out);
	j->more[j->depth] = true;
	if (!key)
		return;
	json_put_string(j, key);
	fputc(':', j->out);
}

static void json_open(struct json *j, const char *key, char open, char close)
{
	json_key(j, key);
	fputc(open, j->out);
	if (j->depth + 1 < JSON_DEPTH_MAX)
		j->depth++;
	j->more[j->depth] = false;
	j->close[j->depth] = close;
}

void json_begin(struct json *j, FILE *out)
{
	*j = (struct json){ .out = out };
	json_object(j, NULL);
}

void json_object(struct json *j, const char *key)
{
	json_open(j, key, '{', '}');
}

void json_array(struct json *j, const char *key)
{
	json_open(j, key, '[', ']');
}

void json_close(struct json *j)
{
	fputc(j->close[j->depth], j->out);
	j->depth--;
}

void json_string(struct json *j, const char *key, const char *val)
{
	json_key(j, key);
	json_put_string(j, val);
}

void json_u64(struct json *j, const char *key, uint64_t val)
{
	json_key(j, key);
	fprintf(j->out, "%llu", (unsigned long long)val);
}

void json_end(struct json *j)
{
	while (j->depth)
		json_close(j);
	fputc('\n', j->out);
}
