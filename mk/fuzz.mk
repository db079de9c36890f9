# make fuzz-walk fuzz-decode fuzz-ioctl fuzz-guest fuzz-smc fuzz-boot fuzz-dev
# [TIME=seconds]
# libFuzzer targets (clang), built with sanitizers into build-fuzz/.  Corpora
# grow there; an input that fails is left there as crash-*.
TIME ?= 60
FUZZ_CC ?= clang
FUZZ_O := build-fuzz
FUZZ_FLAGS := -std=gnu11 -D_GNU_SOURCE -I. -pthread -fno-strict-aliasing \
	-O1 -g -w -DRING3_DEBUG -DRING3_SANITIZE \
	-fsanitize=fuzzer-no-link,address,undefined \
	-fno-sanitize-recover=undefined -fno-omit-frame-pointer
fuzz_obj = $(patsubst %.c,$(FUZZ_O)/%.o,$(wildcard $(addsuffix /*.c,$1)))

$(FUZZ_O)/fuzz_walk: $(call fuzz_obj,base host x86 mmu)
$(FUZZ_O)/fuzz_decode: $(call fuzz_obj,base x86)
$(FUZZ_O)/fuzz_boot: $(filter-out %/bios.o,$(call fuzz_obj,base vmm/boot)) $(FUZZ_O)/vmm/ram.o $(FUZZ_O)/vmm/log.o
# hvtest speaks to a VM, of which there is none.
$(FUZZ_O)/fuzz_dev: $(filter-out %/hvtest.o,$(call fuzz_obj,base host irqchip vmm/dev vmm/pci)) \
	$(addprefix $(FUZZ_O)/vmm/,ram.o log.o bus.o loop.o)

$(FUZZ_O)/fuzz_%: $(FUZZ_O)/fuzz/fuzz_%.o
	$(if $(V),,@echo "  LD      $@")
	$(Q)$(FUZZ_CC) $(FUZZ_FLAGS) -fsanitize=fuzzer $^ -o $@
$(FUZZ_O)/%.o: %.c
	@mkdir -p $(@D)
	$(if $(V),,@echo "  CC      $<")
	$(Q)$(FUZZ_CC) $(FUZZ_FLAGS) -MMD -MP -c $< -o $@

# Fuzz targets that run guests: the engine with the sanitizers' checks, but
# without a vector instruction (see docs/testing.md, "Fuzzing").
#
# The guest's vector registers stay live while the engine runs.  Checks of
# memory accesses and coverage counters need general registers only; what would
# be calls of the C library or of the sanitizer's own copies of it goes to
# fuzz/mem_check.c.
GUEST_FUZZ_O := $(FUZZ_O)/guest
GUEST_FUZZ_FLAGS := $(FUZZ_FLAGS) -fno-sanitize-coverage=trace-cmp -mgeneral-regs-only -fno-stack-protector \
	-fno-sanitize-address-use-after-scope -fsanitize-address-use-after-return=never \
	-mllvm -asan-max-inline-poisoning-size=1000000
FUZZ_REDEFINE := --redefine-sym __asan_memcpy=checked_memcpy \
	--redefine-sym __asan_memset=checked_memset \
	--redefine-sym __asan_memmove=checked_memmove

$(GUEST_FUZZ_O)/base/mem.o $(GUEST_FUZZ_O)/fuzz/mem_check.o: GUEST_FUZZ_FLAGS += -fno-builtin \
	-fno-sanitize=fuzzer-no-link
$(GUEST_FUZZ_O)/%.o: %.c
	@mkdir -p $(@D)
	$(if $(V),,@echo "  CC      $< (engine)")
	$(Q)$(FUZZ_CC) $(GUEST_FUZZ_FLAGS) -MMD -MP -c $< -o $@
	$(Q)objcopy $(REDEFINE) $@ && objcopy $(FUZZ_REDEFINE) $@

guest_fuzz_engine := $(patsubst %.c,$(GUEST_FUZZ_O)/%.o,fuzz/mem_check.c \
	$(filter %.c,$(call src,$(ENGINE))))
$(FUZZ_O)/fuzz_ioctl: $(guest_fuzz_engine)
$(FUZZ_O)/fuzz_smc $(FUZZ_O)/fuzz_guest: $(FUZZ_O)/fuzz/guest.o $(guest_fuzz_engine)

# A vCPU's state lies where the leak checker does not look for pointers.
FUZZ_ENV := ASAN_OPTIONS=detect_leaks=0

$(FUZZ_O)/seeds: fuzz/seeds.c
	@mkdir -p $(@D)
	$(Q)$(CC) -O1 -Wall -Wextra -o $@ $<

# Seeds, and the inputs that once failed, come first.
fuzz-%: $(FUZZ_O)/fuzz_% $(FUZZ_O)/seeds
	$(Q)mkdir -p $(FUZZ_O)/corpus-$* $(FUZZ_O)/seeds-$*
	$(Q)$(FUZZ_O)/seeds $* $(FUZZ_O)/seeds-$*
	$(Q)$(FUZZ_ENV) $< -max_total_time=$(TIME) -print_final_stats=1 \
		-verbosity=0 -timeout=20 -close_fd_mask=2 -artifact_prefix=$(FUZZ_O)/ \
		$(FUZZ_O)/corpus-$* $(FUZZ_O)/seeds-$* $(wildcard fuzz/corpus/$*)

# make fuzz-all [TIME=seconds each]: all of them one after the other, and a
# table of what they did.
FUZZ_TARGETS := walk decode ioctl guest smc boot dev
fuzz-all: $(patsubst %,$(FUZZ_O)/fuzz_%,$(FUZZ_TARGETS)) $(FUZZ_O)/seeds
	$(Q)fuzz/all.sh $(TIME) $(FUZZ_TARGETS)
.PHONY: fuzz-all

# make fuzz-replay: the kept inputs (fuzz/corpus/TARGET, and the seeds) once,
# with the compiler and mode of everything else.  Guests run in the ordinary
# build only; MODE=asan has the others.
REPLAY := $(if $(SAN),walk decode boot dev,guest smc ioctl)
$O/fuzz/replay_%: $O/fuzz/fuzz_%.c.o $O/fuzz/replay.c.o $O/fuzz/guest.c.o $O/libvmm.a $O/engine.a
	$(if $(V),,@echo "  LD      $@")
	$(Q)$(CC) $(FLAGS) $^ -o $@
$O/fuzz/fuzz_%.c.o $O/fuzz/guest.c.o: FLAGS += -Wno-missing-prototypes
fuzz-replay: $(patsubst %,$O/fuzz/replay_%,$(REPLAY)) $(FUZZ_O)/seeds
	$(Q)fuzz/replay.sh $O/fuzz $(REPLAY)
.PHONY: fuzz-replay

# make smc-direct [COUNT=n] [SEED=n]: inputs of fuzz_smc, changed at random,
# with user code that runs natively (RING3_DIRECT) and in careful form.
$O/fuzz/smc_direct: $O/fuzz/fuzz_smc.c.o $O/fuzz/smc_direct.c.o $O/fuzz/guest.c.o $O/engine.a
	$(if $(V),,@echo "  LD      $@")
	$(Q)$(CC) $(FLAGS) $^ -o $@
smc-direct: $O/fuzz/smc_direct $(FUZZ_O)/seeds
	$(Q)mkdir -p $(FUZZ_O)/seeds-smc
	$(Q)$(FUZZ_O)/seeds smc $(FUZZ_O)/seeds-smc
	$(Q)cd $O/fuzz && ./smc_direct $(or $(COUNT),10000) $(or $(SEED),1) \
		$(CURDIR)/$(FUZZ_O)/seeds-smc $(CURDIR)/fuzz/corpus/smc
.PHONY: smc-direct

-include $(shell find $(FUZZ_O) -name '*.d' 2>/dev/null)
