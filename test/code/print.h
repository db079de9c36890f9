#pragma once

#include <stdio.h>

#include "dbt/dbt_int.h"

/*
 * print_block - guest instructions, at @guest, each with its host code, then
 * what is out of line.  Addresses are relative; what differs from run to run is
 * named.
 */
void print_block(FILE *f, struct dbt *d, const struct block *b,
		 const uint8_t *guest);

/* print_count - host instructions in @size bytes at @host. */
unsigned int print_count(const uint8_t *host, size_t size);
