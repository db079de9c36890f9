#pragma once

#include "root/vcpu.h"

/*
 * Port and memory accesses that are not RAM, in the order in which KVM looks:
 * in-kernel devices, then what the API attached (ioeventfds, coalesced zones).
 * Return false if user mode has to serve the access.
 */
bool bus_pio_read(struct vcpu *v, uint16_t port, unsigned int len, void *data);
bool bus_pio_write(struct vcpu *v, uint16_t port, unsigned int len,
		   const void *data);
bool bus_mmio_read(struct vcpu *v, gpa_t gpa, unsigned int len, void *data);
bool bus_mmio_write(struct vcpu *v, gpa_t gpa, unsigned int len,
		    const void *data);
