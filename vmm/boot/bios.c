#include "vmm/boot/bios.h"

#include <linux/kvm.h>
#include <string.h>

#include "vmm/boot/layout.h"

#define STUB_SEGMENT 0xf000
#define STUB_BASE    (LAYOUT_BIOS_STUBS - STUB_SEGMENT * 16)
#define STUB_IRET    0x00
#define STUB_TICK    0x10
#define STUB_MASTER  0x30
#define STUB_SLAVE   0x40
#define STUB_RESET   0xff0 /* at F000:FFF0, the reset vector */

#define BDA_EBDA   0x40e /* segment of the extended data area */
#define BDA_MEMORY 0x413 /* KiB of base memory */

#define VECTOR_TICK  0x08
#define VECTOR_SLAVE 0x70

/* clang-format off */
static const uint8_t stub_iret[] = { 0xcf };
static const uint8_t stub_tick[] = {
	0x1e, 0x50,				/* push ds, ax */
	0x31, 0xc0, 0x8e, 0xd8,			/* xor ax, ax; mov ds, ax */
	0x66, 0xff, 0x06, 0x6c, 0x04,		/* inc dword [0x46c] */
	0xb0, 0x20, 0xe6, 0x20,			/* mov al, 0x20; out 0x20, al */
	0x58, 0x1f, 0xcf,			/* pop ax, ds; iret */
};
static const uint8_t stub_master[] = {
	0x50, 0xb0, 0x20, 0xe6, 0x20,		/* push ax; end of interrupt */
	0x58, 0xcf,				/* pop ax; iret */
};
static const uint8_t stub_slave[] = {
	0x50, 0xb0, 0x20, 0xe6, 0xa0, 0xe6, 0x20, /* the same for both PICs */
	0x58, 0xcf,
};
static const uint8_t stub_reset[] = {
	0xb0, 0xfe, 0xe6, 0x64,			/* mov al, 0xfe; out 0x64, al */
	0xf4, 0xeb, 0xfd,			/* 1: hlt; jmp 1b */
};
/* clang-format on */

static uint16_t bios_stub_of(unsigned vector)
{
	if (vector == VECTOR_TICK)
		return STUB_TICK;
	if (vector > VECTOR_TICK && vector < VECTOR_TICK + 8)
		return STUB_MASTER;
	if (vector >= VECTOR_SLAVE && vector < VECTOR_SLAVE + 8)
		return STUB_SLAVE;
	return STUB_IRET;
}

int bios_write(const struct ram *ram)
{
	uint8_t *stubs = ram_ptr(ram, LAYOUT_BIOS_STUBS, 0x1000);
	uint8_t *low = ram_ptr(ram, 0, 0x500);
	uint16_t ebda = LAYOUT_EBDA >> 4, kib = LAYOUT_EBDA >> 10;

	if (!stubs || !low)
		return -1;
	memcpy(stubs + STUB_IRET, stub_iret, sizeof(stub_iret));
	memcpy(stubs + STUB_TICK, stub_tick, sizeof(stub_tick));
	memcpy(stubs + STUB_MASTER, stub_master, sizeof(stub_master));
	memcpy(stubs + STUB_SLAVE, stub_slave, sizeof(stub_slave));
	memcpy(stubs + STUB_RESET, stub_reset, sizeof(stub_reset));
	for (unsigned v = 0; v < 256; v++) {
		uint16_t far[2] = { STUB_BASE + bios_stub_of(v), STUB_SEGMENT };

		memcpy(low + v * 4, far, sizeof(far));
	}
	memcpy(low + BDA_EBDA, &ebda, sizeof(ebda));
	memcpy(low + BDA_MEMORY, &kib, sizeof(kib));
	return 0;
}

static int bios_init_pic(const struct kvmfd *vm, unsigned chip, uint8_t base,
			 uint8_t mask)
{
	struct kvm_irqchip pic = { .chip_id = chip };
	int r = kvmfd_ioctl(vm, KVM_GET_IRQCHIP, &pic);

	if (r < 0)
		return r;
	pic.chip.pic.irq_base = base;
	pic.chip.pic.imr = mask;
	pic.chip.pic.init_state = 0;
	return kvmfd_ioctl(vm, KVM_SET_IRQCHIP, &pic);
}

int bios_init_chips(const struct kvmfd *vm)
{
	struct kvm_pit_state2 pit;
	int r;

	/* Open: timer, keyboard, cascade. */
	r = bios_init_pic(vm, KVM_IRQCHIP_PIC_MASTER, VECTOR_TICK, 0xf8);
	if (r >= 0)
		r = bios_init_pic(vm, KVM_IRQCHIP_PIC_SLAVE, VECTOR_SLAVE,
				  0xff);
	if (r >= 0)
		r = kvmfd_ioctl(vm, KVM_GET_PIT2, &pit);
	if (r < 0)
		return r;
	pit.channels[0].count = 0x10000;
	pit.channels[0].mode = 3;    /* square wave */
	pit.channels[0].rw_mode = 3; /* low byte, then high byte */
	pit.channels[0].gate = 1;
	r = kvmfd_ioctl(vm, KVM_SET_PIT2, &pit);
	return r < 0 ? r : 0;
}
