# From nothing to a booted Debian kernel.
demo:
	$(Q)scripts/demo.sh
.PHONY: demo
