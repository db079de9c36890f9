#include "vmm/status.h"

#include "base/types.h"

struct status_row {
	int value;
	const char *name, *text;
};

#define STATUS_ROW_(id, value, name, text) { value, name, text },
static const struct status_row status_rows[] = { STATUS_LIST(STATUS_ROW_) };

static const struct status_row debug_exit_row = {
	1, "debug-exit", "the guest wrote to the debug exit port"
};

static const struct status_row *status_find(int status)
{
	for (size_t i = 0; i < ARRAY_SIZE(status_rows); i++)
		if (status_rows[i].value == status)
			return &status_rows[i];
	return &debug_exit_row;
}

const char *status_name(int status)
{
	return status_find(status)->name;
}

const char *status_text(int status)
{
	return status_find(status)->text;
}
