# make fuzz-ioctl [TIME=seconds]: the whole engine behind sequences of ioctls.
build-fuzz/fuzz_ioctl: $(patsubst %.c,build-fuzz/%.o,$(filter %.c,$(call src,$(ENGINE))))
