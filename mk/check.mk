# make check: what must pass before a change goes in.  make check-long: more
# of it, with QEMU's TCG as a second opinion on the guests.
CHECK := unit asan cli api guests-careful guests-fast boot firmware

check: all
	$(Q)scripts/deps.sh test boot firmware
	$(Q)test/run-check.sh $(CHECK)
check-long: all
	$(Q)scripts/deps.sh test boot firmware oracle
	$(Q)BOOT=long FULL=1 test/run-check.sh $(CHECK) guests-tcg matrix hundred \
		clock
.PHONY: check check-long
