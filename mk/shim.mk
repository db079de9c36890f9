# The preload library, build/libring3-kvm.so: the engine behind the C library's
# own functions.  The engine's calls of those that the shim defines go to the
# shim's engine_* instead.
SHIM_OBJ := $(call obj,shim)
SHIM_REDEFINE := $(foreach f,open close mmap munmap mprotect madvise fcntl \
	pthread_sigmask syscall sigaction read write poll ppoll,--redefine-sym $f=engine_$f)

# The engine calls these while guest vector state is live in the registers.
$O/shim/real.c.o: FLAGS += $(ENGINE_FLAGS)
$O/libring3-shim.o: $(ENGINE_OBJ)
	$(Q)ld -r -o $@ $^
	$(Q)objcopy $(SHIM_REDEFINE) $@
$O/libring3-kvm.so: $(SHIM_OBJ) $O/libring3-shim.o shim/shim.map
	$(if $(V),,@echo "  LD      $@")
	$(Q)$(CC) $(FLAGS) -shared -Wl,-z,defs,-z,relro,-z,now \
		-Wl,--version-script=shim/shim.map $(SHIM_OBJ) $O/libring3-shim.o -o $@
all: $O/libring3-kvm.so

# make shim-test: a client of the preload library, which knows nothing of ring3.
SHIM_TEST := $O/test/shim/client

$(SHIM_TEST): $(patsubst %,$O/%.o,$(wildcard test/shim/*.c))
	$(if $(V),,@echo "  LD      $@")
	$(Q)$(CC) $(FLAGS) $^ -o $@
shim-test: all $(SHIM_TEST)
	test/shim/run.sh
.PHONY: shim-test
