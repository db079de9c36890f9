# Unit tests named vmm_* link user mode's code too.
VMM_LIB_OBJ := $(call obj,$(filter vmm%,$(USER))) $O/cli/opt.c.o

$O/libvmm.a: $(VMM_LIB_OBJ)
	$(if $(V),,@echo "  AR      $@")
	$(Q)rm -f $@ && ar rcs $@ $^
$O/test/unit/vmm_%: $O/test/unit/vmm_%.c.o $O/libvmm.a $O/libring3.a
	$(if $(V),,@echo "  LD      $@")
	$(Q)$(CC) $(FLAGS) $^ -o $@

$O/test/cli/refuse: $O/test/cli/refuse.c.o
	$(if $(V),,@echo "  LD      $@")
	$(Q)$(CC) $(FLAGS) $^ -o $@

# What the command line says about bad input, and its exit statuses.
check-cli: $O/ring3 $O/test/cli/refuse
	$(Q)test/cli/run.sh $O/ring3
.PHONY: check-cli
