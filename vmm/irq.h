#pragma once

#include "base/types.h"

/* Where devices send the level of an interrupt line (GSI). */
struct irq_sink {
	void (*set)(void *arg, unsigned gsi, bool level);
	void *arg;
};

/* One device's line; its user holds the device's lock. */
struct irq_line {
	const struct irq_sink *sink;
	unsigned gsi;
	bool level;
};

/* irq_line_set - drive the line; only changes reach the sink. */
static inline void irq_line_set(struct irq_line *line, bool level)
{
	if (line->level == level)
		return;
	line->level = level;
	line->sink->set(line->sink->arg, line->gsi, level);
}
