# make kut KUT=/path/to/kvm-unit-tests [GLOB="x2apic vmexit_*"]
kut: all
	$(Q)[ -n "$(KUT)" ] || { echo "make kut KUT=/path/to/a/checkout of \
	kvm-unit-tests" >&2; exit 2; }
	$(Q)scripts/deps.sh test
	$(Q)set -f; test/kut/run.sh "$(KUT)" $(GLOB)
.PHONY: kut
