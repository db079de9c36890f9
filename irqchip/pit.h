#pragma once

#include "base/types.h"

/*
 * The i8254 interval timer (Intel 82C54 datasheet): channel 0 drives GSI 0,
 * channel 2 the speaker through port 61H.
 */
struct irqchip;
struct pit;

#define PIT_HZ	     1193182ull
#define PIT_CHANNELS 3

/* As struct kvm_pit_channel_state. */
struct pit_channel_state {
	uint32_t count; /* up to 65536 */
	uint16_t latched_count;
	uint8_t count_latched; /* bytes left to read, as an RW_STATE_* */
	uint8_t status_latched;
	uint8_t status;
	uint8_t read_state;
	uint8_t write_state;
	uint8_t write_latch;
	uint8_t rw_mode;
	uint8_t mode;
	uint8_t bcd;
	uint8_t gate;
	int64_t count_load_time; /* CLOCK_MONOTONIC, ns */
};

#define PIT_FLAG_HPET_LEGACY BIT(0) /* the HPET has taken over IRQ 0 */
#define PIT_FLAG_SPEAKER_ON  BIT(1)

/* As struct kvm_pit_state2. */
struct pit_state {
	struct pit_channel_state channels[PIT_CHANNELS];
	uint32_t flags;
	uint32_t reserved[9];
};

/*
 * pit_create - adds the PIT to @chip.  @speaker: also serve port 61H
 * (KVM_PIT_SPEAKER_DUMMY).  Returns 0, -EEXIST, -ENOENT (split), -ENOMEM.
 */
int pit_create(struct irqchip *chip, bool speaker) __must_check;

/* pit_of - the PIT, or NULL. */
struct pit *pit_of(struct irqchip *chip);

/* pit_set_reinject - whether missed ticks are injected later (default). */
void pit_set_reinject(struct pit *p, bool reinject);
bool pit_reinject(struct pit *p);

/*
 * pit_get_state, pit_set_state - KVM_GET_PIT2, KVM_SET_PIT2.  Setting starts
 * the channels anew from their counts.
 */
void pit_get_state(struct pit *p, struct pit_state *out);
void pit_set_state(struct pit *p, const struct pit_state *in);
