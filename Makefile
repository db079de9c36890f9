# make [MODE=release|debug|asan|tsan] [CC=gcc|clang] [V=1]
# Builds ring3, libring3.a and libring3.so into build/ (build-MODE/ for other
# modes).  Source files are found by folder; adding a file needs no edit here.
MODE ?= release
ifneq ($(filter default undefined,$(origin CC)),)
CC := gcc
endif
MAKEFLAGS += -rR
O := $(if $(filter release,$(MODE)),build,build-$(MODE))

# Folders of the engine ("kernel mode" of KVM and the guest's processor).
ENGINE := base host x86 mmu cpu dbt irqchip root api
# Folders of user mode: the VMM and the command line.
USER := vmm vmm/boot vmm/dev vmm/disk vmm/fw vmm/pci vmm/virtio cli

CFLAGS_release := -O2 -g
CFLAGS_debug := -O1 -g3 -DRING3_DEBUG
CFLAGS_asan := -O1 -g -DRING3_DEBUG -DRING3_SANITIZE -fsanitize=address,undefined \
	-fno-sanitize-recover=undefined -fno-omit-frame-pointer
# gcc warns of fences, which it does not check; host/share.c has some.
CFLAGS_tsan := -O1 -g -DRING3_DEBUG -DRING3_SANITIZE -fsanitize=thread \
	$(if $(findstring clang,$(CC)),,-Wno-tsan)
SAN := $(filter asan tsan,$(MODE))
WARN := -Wall -Wextra -Werror -Wstrict-prototypes -Wmissing-prototypes -Wvla \
	-Wno-unused-parameter -Wno-gnu-variable-sized-type-not-at-end
FLAGS = -std=gnu11 -D_GNU_SOURCE -I. -pthread -fPIC -fvisibility=hidden \
	-fno-strict-aliasing -fno-math-errno $(WARN) $(CFLAGS_$(MODE)) $(CFLAGS)
# Guest vector state stays live in the host's registers while the engine runs:
# its objects use general registers only and bring their own memcpy and memset.
ENGINE_FLAGS := $(if $(SAN),,-mgeneral-regs-only -fno-stack-protector \
	$(if $(findstring clang,$(CC)),,-fno-tree-loop-distribute-patterns))
REDEFINE := --redefine-sym memcpy=r3_memcpy --redefine-sym memset=r3_memset \
	--redefine-sym memmove=r3_memmove --redefine-sym memcmp=r3_memcmp

Q := $(if $(V),,@)
src = $(sort $(foreach d,$1,$(wildcard $d/*.c $d/*.S)))
obj = $(patsubst %,$O/%.o,$(call src,$1))
ENGINE_OBJ := $(call obj,$(ENGINE))
USER_OBJ := $(call obj,$(USER))
UNIT := $(patsubst test/unit/%.c,$O/test/unit/%,$(wildcard test/unit/*.c))

all: $O/libring3.a $O/libring3.so $O/ring3

$(ENGINE_OBJ): FLAGS += $(ENGINE_FLAGS)
# No loop of memmove may become a call of memmove.
$O/base/mem.c.o: FLAGS += -fno-builtin
$(ENGINE_OBJ): $O/%.o: %
	@mkdir -p $(@D)
	$(if $(V),,@echo "  CC      $<")
	$(Q)$(CC) $(FLAGS) -MMD -MP -c $< -o $@
	$(if $(SAN),,$(Q)objcopy $(REDEFINE) $@)
$O/%.c.o: %.c
	@mkdir -p $(@D)
	$(if $(V),,@echo "  CC      $<")
	$(Q)$(CC) $(FLAGS) -MMD -MP -c $< -o $@

# All of the engine, for unit tests that look inside.
$O/engine.a: $(ENGINE_OBJ)
	$(if $(V),,@echo "  AR      $@")
	$(Q)rm -f $@ && ar rcs $@ $^
# For programs: one object that shows nothing but include/ring3.h.
$O/libring3.a: $(ENGINE_OBJ)
	$(if $(V),,@echo "  AR      $@")
	$(Q)ld -r -o $O/libring3.o $^
	$(Q)objcopy --localize-hidden $O/libring3.o
	$(Q)rm -f $@ && ar rcs $@ $O/libring3.o
$O/libring3.so: $(ENGINE_OBJ)
	$(if $(V),,@echo "  LD      $@")
	$(Q)$(CC) $(FLAGS) -shared -Wl,-z,defs,-z,relro,-z,now $^ -o $@
$O/ring3: $(USER_OBJ) $O/libring3.a
	$(if $(V),,@echo "  LD      $@")
	$(Q)$(CC) $(FLAGS) $^ -o $@

# A unit test may name further libraries in a line "// LIBS: -lfoo".
$O/test/unit/%: $O/test/unit/%.c.o $O/engine.a
	$(if $(V),,@echo "  LD      $@")
	$(Q)$(CC) $(FLAGS) $^ $$(sed -n 's,^// LIBS: ,,p' test/unit/$*.c) -o $@

unit: $(UNIT)
	$(Q)bad=0; for t in $^; do echo "== $$t"; $$t || bad=1; done; exit $$bad

clean:
	rm -rf build build-*

-include $(wildcard mk/*.mk)
.PHONY: all unit clean
.SECONDARY:
-include $(shell find $O -name '*.d' -type f 2>/dev/null)
