# make check: what must pass before a change goes in.  make check-long: more
# of it, with QEMU's TCG as a second opinion on the guests.
CHECK := unit code asan fuzz insn cli bench shim api guests-careful guests-fast guests-direct guests-tsan \
	clang boot firmware clients

check: all
	$(Q)scripts/deps.sh test boot firmware
	-$(Q)scripts/deps.sh qemu # without it that suite is skipped
	-$(Q)scripts/deps.sh clang # likewise
	$(Q)test/run-check.sh $(CHECK)
check-long: all
	$(Q)scripts/deps.sh test boot firmware oracle
	-$(Q)scripts/deps.sh clients
	-$(Q)scripts/deps.sh clang
	$(Q)scripts/deps.sh stress
	$(Q)BOOT=long LONG=1 FULL=1 test/run-check.sh $(CHECK) guests-tcg matrix hundred \
		clock parallel stress compile
.PHONY: check check-long
