#pragma once

#include "vmm/boot/aml.h"

/*
 * dsdt_write - the definition block's body: devices and sleep states, S3 among
 * them if the machine can @sleep.
 */
void dsdt_write(struct aml *a, bool sleep);
