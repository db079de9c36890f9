# make fuzz-insn [TIME=seconds] [SEED=n] [COUNT=n] [JOBS=n] [DIRECT=1]
# Instructions made from the instruction table, on the processor and in both
# forms of the engine (fuzz/insn).  A failure leaves a reproducer there, which
# goes to test/insn when its bug is fixed.
FUZZ_INSN := $O/fuzz/insn/fuzz_insn
FUZZ_INSN_OBJ := $(patsubst %,$O/%.o,$(wildcard fuzz/insn/*.c fuzz/insn/*.S))

$O/fuzz/insn/%.S.o: fuzz/insn/%.S
	@mkdir -p $(@D)
	$(if $(V),,@echo "  AS      $<")
	$(Q)$(CC) -I. -MMD -MP -c $< -o $@
# The child's C code runs with a case's FS.
$O/fuzz/insn/native.c.o $O/fuzz/insn/arena.c.o: FLAGS += -fno-stack-protector
$(FUZZ_INSN): $(FUZZ_INSN_OBJ) $O/engine.a
	$(if $(V),,@echo "  LD      $@")
	$(Q)$(CC) $(FLAGS) $^ -lZydis -o $@

fuzz-insn: $(FUZZ_INSN)
	$(Q)$< $(if $(COUNT),--count $(COUNT),--time $(TIME)) \
		$(if $(SEED),--seed $(SEED)) $(if $(JOBS),--jobs $(JOBS)) \
		$(if $(DIRECT),--direct) \
		--save $O/fuzz/insn

# make insn-test: the kept reproducers and runs that are always the same; with
# LONG=1 ten million cases, and a million in runners.
insn-test: $(FUZZ_INSN)
	$(Q)$< --replay test/insn/*.cases
	$(Q)$< --direct --replay test/insn/*.cases
	$(Q)$< --seed 1 --count $(if $(LONG),10000000,100000) \
		--jobs $(if $(LONG),$(shell nproc),1)
	$(Q)$< --direct --seed 2 --count $(if $(LONG),1000000,5000) \
		--jobs $(if $(LONG),$(shell nproc),1)
	$(Q)$< --direct --disturb --seed 3 --count $(if $(LONG),100000,2000)
.PHONY: fuzz-insn insn-test
