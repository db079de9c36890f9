# Linux for longer: all kernels and sizes, many boots in a row, the guest's clock.
matrix:
	$(Q)scripts/deps.sh test boot
	$(Q)test/boot/matrix.sh
# make hundred [COUNT=n]
hundred:
	$(Q)scripts/deps.sh test boot
	$(Q)COUNT=$(or $(COUNT),100) test/boot/hundred.sh
clock:
	$(Q)scripts/deps.sh test boot
	$(Q)test/boot/clock.sh
# make parallel [COUNT=n]: guests at the same time.
parallel:
	$(Q)scripts/deps.sh test boot
	$(Q)COUNT=$(or $(COUNT),20) test/boot/parallel.sh
# make stress [STRESS_TIME=seconds]
stress:
	$(Q)scripts/deps.sh test boot stress
	$(Q)test/boot/stress.sh
# make compile [SOURCE_LINES=n]: the C compiler in a guest.
compile:
	$(Q)scripts/deps.sh test boot
	$(Q)SOURCE_LINES=$(SOURCE_LINES) test/boot/compile.sh
.PHONY: matrix hundred clock parallel stress compile
