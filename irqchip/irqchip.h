#pragma once

#include "base/types.h"

/*
 * The interrupt controllers of one VM: a local APIC per vCPU (irqchip/lapic.h)
 * and, unless user mode keeps them, one I/O APIC, a pair of PICs and a PIT.
 *
 * Everything here may be called by any thread unless a comment says "vCPU
 * thread": then only by the thread that runs the vCPU, or while it cannot run.
 * Locks: each device has its own; pic or ioapic may be held when a local APIC's
 * timer or the routing table is locked, and host/timer's lock comes last.  The
 * callbacks of struct irqchip_ops are called with some of them held and must
 * not call back, except where noted.
 */
struct irqchip;
struct lapic;
struct pic_state;
struct ioapic_state;
struct timers;

struct irqchip_ops {
	/*
	 * @vcpu has an interrupt to look at: make it leave guest code soon
	 * and wake it from HLT.
	 */
	void (*kick)(void *vcpu);
	/* Latch the event in @vcpu and kick it. */
	void (*nmi)(void *vcpu);
	void (*smi)(void *vcpu);
	void (*init)(void *vcpu);
	void (*sipi)(void *vcpu, uint8_t vector);
	/*
	 * Split mode, on @vcpu's own thread: user mode's I/O APIC has to hear
	 * of this end of interrupt.
	 */
	void (*ioapic_eoi)(void *vcpu, uint8_t vector);
	/* On @vcpu's own thread: the end of one of lapic_set_sint_vectors'. */
	void (*sint_eoi)(void *vcpu, uint8_t vector);
	/* Raise @vcpu's (by its index) synthetic source; irqchip_set_irq's
	 * status. */
	int (*sint)(void *vm, uint32_t vcpu, uint32_t sint);
	/*
	 * A line that irqchip_watch_ack asked for was acknowledged.  May call
	 * irqchip_set_irq.
	 */
	void (*ack)(void *vm, uint32_t gsi);
};

enum irqchip_mode {
	IRQCHIP_FULL,  /* KVM_CREATE_IRQCHIP */
	IRQCHIP_SPLIT, /* KVM_CAP_SPLIT_IRQCHIP: local APICs only */
};

#define IRQCHIP_MAX_CPUS   1024
#define IRQCHIP_MAX_CPU_ID 4096 /* exclusive */

/* Who drives a line; a line is high while any of them holds it high. */
enum irq_source {
	IRQ_SOURCE_USER,     /* KVM_IRQ_LINE, irqfd */
	IRQ_SOURCE_RESAMPLE, /* irqfd with resampling */
	IRQ_SOURCE_PIT,
	NR_IRQ_SOURCES,
};

/*
 * irqchip_create - controllers in reset state, with KVM's default routing.
 * @vm goes to ops->ack.  @timers outlives the irqchip.  Returns 0 or -errno.
 */
int irqchip_create(enum irqchip_mode mode, const struct irqchip_ops *ops,
		   void *vm, struct timers *timers,
		   struct irqchip **out) __must_check;

/* irqchip_destroy - no vCPU and no other thread uses it any more. */
void irqchip_destroy(struct irqchip *chip);

/* irqchip_is_split - whether the PICs and the I/O APIC are user mode's. */
bool irqchip_is_split(const struct irqchip *chip);

/*
 * irqchip_set_split_pins - split mode: GSIs below @pins are pins of user
 * mode's I/O APIC (args[0] of KVM_CAP_SPLIT_IRQCHIP).
 */
void irqchip_set_split_pins(struct irqchip *chip, uint32_t pins);

/* irqchip_set_x2apic_api - the two flags of KVM_CAP_X2APIC_API. */
void irqchip_set_x2apic_api(struct irqchip *chip, bool ids_32bit,
			    bool no_broadcast_quirk);

/*
 * irqchip_set_irq - drives line @gsi.  Returns KVM_IRQ_LINE_STATUS's status:
 * > 0 delivered, 0 merged with an interrupt that is pending already, < 0
 * masked or not routed.
 */
int irqchip_set_irq(struct irqchip *chip, uint32_t gsi, enum irq_source source,
		    bool level);

/*
 * irqchip_send_msi - one message-signalled interrupt; the destination's bits
 * 31:8 come from @address_hi if 32-bit ids are enabled.  Status as above.
 */
int irqchip_send_msi(struct irqchip *chip, uint32_t address_lo,
		     uint32_t address_hi, uint32_t data);

/* irqchip_watch_ack - call ops->ack for @gsi from now on, or no more. */
int irqchip_watch_ack(struct irqchip *chip, uint32_t gsi,
		      bool watch) __must_check;

/*
 * irqchip_sint_acked - a vCPU is done with a synthetic source: calls ops->ack
 * for GSIs that lead to it.
 */
void irqchip_sint_acked(struct irqchip *chip, uint32_t vcpu, uint32_t sint);

/*
 * irqchip_pio_read, irqchip_pio_write - port accesses of @len bytes.  Return
 * whether the port is one of ours; *@value is then complete.
 */
bool irqchip_pio_read(struct irqchip *chip, uint16_t port, unsigned int len,
		      uint32_t *value);
bool irqchip_pio_write(struct irqchip *chip, uint16_t port, unsigned int len,
		       uint32_t value);

/* irqchip_mmio_read, irqchip_mmio_write - the I/O APIC's page, likewise. */
bool irqchip_mmio_read(struct irqchip *chip, gpa_t gpa, unsigned int len,
		       void *data);
bool irqchip_mmio_write(struct irqchip *chip, gpa_t gpa, unsigned int len,
			const void *data);

/*
 * irqchip_has_irq - whether an interrupt, the PIC's or the local APIC's, may
 * be delivered now as far as priorities go.  Cheap.  vCPU thread.
 */
bool irqchip_has_irq(struct lapic *l);

/*
 * irqchip_take_irq - acknowledges that interrupt: its vector, or -1 if there
 * is none after all.  vCPU thread.
 */
int irqchip_take_irq(struct lapic *l);

/* Saved state, KVM_GET_IRQCHIP and KVM_SET_IRQCHIP.  @slave: the second PIC. */
void irqchip_get_pic(struct irqchip *chip, bool slave, struct pic_state *out);
void irqchip_set_pic(struct irqchip *chip, bool slave,
		     const struct pic_state *in);
void irqchip_get_ioapic(struct irqchip *chip, struct ioapic_state *out);
void irqchip_set_ioapic(struct irqchip *chip, const struct ioapic_state *in);
