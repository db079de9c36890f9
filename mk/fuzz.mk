# make fuzz-walk fuzz-decode [TIME=seconds]
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

$(FUZZ_O)/fuzz_walk: $(call fuzz_obj,base mmu)
$(FUZZ_O)/fuzz_decode: $(call fuzz_obj,base x86)

$(FUZZ_O)/fuzz_%: $(FUZZ_O)/fuzz/fuzz_%.o
	$(if $(V),,@echo "  LD      $@")
	$(Q)$(FUZZ_CC) $(FUZZ_FLAGS) -fsanitize=fuzzer $^ -o $@
$(FUZZ_O)/%.o: %.c
	@mkdir -p $(@D)
	$(if $(V),,@echo "  CC      $<")
	$(Q)$(FUZZ_CC) $(FUZZ_FLAGS) -MMD -MP -c $< -o $@

fuzz-%: $(FUZZ_O)/fuzz_%
	$(Q)mkdir -p $(FUZZ_O)/corpus-$*
	$(Q)$< -max_total_time=$(TIME) -print_final_stats=1 -verbosity=0 \
		-artifact_prefix=$(FUZZ_O)/ $(FUZZ_O)/corpus-$*

-include $(shell find $(FUZZ_O) -name '*.d' 2>/dev/null)
