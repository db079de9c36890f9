# Bare-metal guests: one folder each in test/guest.  Names that end in 64 are
# built as 64-bit code, the others as 32-bit; both become multiboot ELF32
# images.  A folder with a file "raw.ld" becomes a flat binary instead.
GUESTS := $(filter-out lib expect,$(notdir $(patsubst %/,%,$(dir \
	$(wildcard test/guest/*/*.c test/guest/*/*.S)))))
GUESTS := $(sort $(GUESTS))
GUEST_CC := gcc
GUEST_FLAGS := -std=gnu11 -O2 -g -I. -ffreestanding -fno-pic -fno-pie -fcf-protection=none \
	-fno-stack-protector -fno-asynchronous-unwind-tables -fno-strict-aliasing \
	-fno-tree-loop-distribute-patterns -fno-builtin -mgeneral-regs-only -Wall -Wextra -Werror -Wno-unused-parameter \
	-Wno-array-bounds
GUEST_FLAGS_g64 := -m64 -mno-red-zone -mcmodel=small
GUEST_FLAGS_g32 := -m32 -march=i686
G := $O/test/guest

guest_bits = $(if $(filter %64,$1),g64,g32)
guest_lib_g64 := guest.c desc.c trap.c paging64.c access64.S apic.c smp64.c tramp64.S start64.S trap64.S
guest_lib_g32 := guest.c desc.c trap.c apic.c access32.S start32.S trap32.S
guest_src = $(filter-out test/guest/$1/host%,$(wildcard test/guest/$1/*.c test/guest/$1/*.S))
guest_obj = $(patsubst test/%,$O/test/%.$(call guest_bits,$1).o,$(call guest_src,$1))

$G/%.g64.o: test/guest/%
	@mkdir -p $(@D)
	$(Q)$(GUEST_CC) $(GUEST_FLAGS) $(GUEST_FLAGS_g64) $(GUEST_INC) -MMD -MP -c $< -o $@
$G/%.g32.o: test/guest/%
	@mkdir -p $(@D)
	$(Q)$(GUEST_CC) $(GUEST_FLAGS) $(GUEST_FLAGS_g32) $(GUEST_INC) -MMD -MP -c $< -o $@

$G/lib64.a: $(patsubst %,$G/lib/%.g64.o,$(guest_lib_g64))
	$(Q)rm -f $@ && ar rcs $@ $^
$G/lib32.a: $(patsubst %,$G/lib/%.g32.o,$(guest_lib_g32))
	$(Q)rm -f $@ && ar rcs $@ $^

# Snippet guests (those that name T rows): the same objects, linked into a
# program that runs here, give the expected results.
SNIP_GUESTS := $(sort $(foreach g,$(GUESTS),$(if $(shell grep -ls 'lib/snip.h' $(wildcard test/guest/$g/*.S) /dev/null),$g)))
guest_snip_lib = snip.c.$(call guest_bits,$1).o snip$(patsubst g%,%,$(call guest_bits,$1)).S.$(call guest_bits,$1).o
guest_snip = $(if $(filter $1,$(SNIP_GUESTS)),$(addprefix $G/lib/,$(call guest_snip_lib,$1)))
guest_ld = $(if $(filter %64,$1),elf_x86_64,elf_i386)
guest_start = $G/lib/start$(patsubst g%,%,$(call guest_bits,$1)).S.$(call guest_bits,$1).o
guest_lib = $G/lib$(patsubst g%,%,$(call guest_bits,$1)).a

define guest_rule
$G/$1.elf: $(call guest_obj,$1) $(call guest_snip,$1) $(call guest_lib,$1) test/guest/lib/link.ld
	$(if $V,,@echo "  GUEST   $1")
	$(Q)ld -m $(call guest_ld,$1) -nostdlib -n --no-warn-rwx-segments -z noexecstack \
		-T test/guest/lib/link.ld -o $$@.tmp $(call guest_start,$1) \
		$$(filter %.o,$$^) $(call guest_lib,$1)
	$(Q)objcopy -O elf32-i386 $$@.tmp $$@ && rm $$@.tmp
endef
define snip_rule
$G/$1.elf: $G/$1/golden.o $G/lib/snipguest.c.$(call guest_bits,$1).o
$G/$1/host: $(call guest_obj,$1) $(call guest_snip,$1) $G/lib/sniphost.c.$(call guest_bits,$1).o
	$(Q)ld -m $(call guest_ld,$1) -nostdlib -e host_start --no-warn-rwx-segments -z noexecstack \
		-z max-page-size=4096 -T test/guest/lib/link.ld -o $$@ $$^
$G/$1/golden.bin: $G/$1/host
	$(Q)$$< >$$@.tmp && mv $$@.tmp $$@
$G/$1/golden.o: $G/$1/golden.bin test/guest/lib/golden.S
	$(Q)$(GUEST_CC) $(GUEST_FLAGS_$(call guest_bits,$1)) -DGOLDEN='"$$<"' -c test/guest/lib/golden.S -o $$@
endef
define raw_rule
$G/$1.bin: $(call guest_obj,$1) test/guest/$1/raw.ld
	$(if $V,,@echo "  GUEST   $1")
	$(Q)ld -m elf_i386 -nostdlib --oformat binary -T test/guest/$1/raw.ld -o $$@ $(call guest_obj,$1)
endef
RAW_GUESTS := $(filter $(GUESTS),$(notdir $(patsubst %/raw.ld,%,$(wildcard test/guest/*/raw.ld))))
$(foreach g,$(filter-out $(RAW_GUESTS),$(GUESTS)),$(eval $(call guest_rule,$g)))
$(foreach g,$(RAW_GUESTS),$(eval $(call raw_rule,$g)))
$(foreach g,$(SNIP_GUESTS),$(eval $(call snip_rule,$g)))

guests: $(patsubst %,$G/%.elf,$(filter-out $(RAW_GUESTS),$(GUESTS))) $(patsubst %,$G/%.bin,$(RAW_GUESTS))
.PHONY: guests
