#pragma once

#include "vmm/boot/aml.h"

/* dsdt_write - the definition block's body: devices and sleep states. */
void dsdt_write(struct aml *a);
