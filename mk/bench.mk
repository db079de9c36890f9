# make bench KIT=DIR [W=..] [SCALE=..] [ROUNDS=..] [REAL=1]: speed, as ratios to
# native; bench/README tells what the kit is, bench/run.sh all settings.
bench: $O/ring3
	$(Q)scripts/deps.sh boot
	$(Q)KIT="$(KIT)" bench/run.sh
.PHONY: bench

# make bench-exit: what exits cost, on ring3 and, where there is one, /dev/kvm.
BENCH_EXIT := $O/bench/exit

$(BENCH_EXIT): $(patsubst %,$O/%.o,bench/exit.c test/api/kt.c \
		test/api/kt_long.c) $O/libring3.a
	$(if $(V),,@echo "  LD      $@")
	$(Q)$(CC) $(FLAGS) $^ -o $@
bench-exit: $(BENCH_EXIT)
	$(BENCH_EXIT)
	@[ ! -w /dev/kvm ] || timeout 60 $(BENCH_EXIT) --kvm || \
		echo "SKIP: /dev/kvm of this host"
.PHONY: bench-exit

# make bench-runner: what stops and mappings of a runner cost.
BENCH_RUNNER := $O/bench/runner

$(BENCH_RUNNER): $O/bench/runner.c.o $O/engine.a
	$(if $(V),,@echo "  LD      $@")
	$(Q)$(CC) $(FLAGS) $^ -o $@
bench-runner: $(BENCH_RUNNER)
	$(BENCH_RUNNER)
.PHONY: bench-runner

# What runs the VMs that are measured, and its test.
TREERUN := $O/bench/treerun

$(TREERUN): $O/bench/treerun.c.o
	$(if $(V),,@echo "  LD      $@")
	$(Q)$(CC) $(FLAGS) $^ -o $@
$O/test/bench/tree: $O/test/bench/tree.c.o
	$(if $(V),,@echo "  LD      $@")
	$(Q)$(CC) $(FLAGS) $^ -o $@
bench: $(TREERUN)
bench-test: $(TREERUN) $O/test/bench/tree
	$(Q)test/bench/treerun.sh $^
.PHONY: bench-test
