# make api-test: the KVM API's tests on the soft KVM.  Where there is a
# /dev/kvm they run there too, to show that they expect what Linux does; kernels
# differ, so that run tells but does not fail.  make api-test-kvm is strict.
API_TEST := $O/test/api/api
API_TEST_OBJ := $(patsubst %,$O/%.o,$(wildcard test/api/*.c))

$(API_TEST): $(API_TEST_OBJ) $O/libring3.a
	$(if $(V),,@echo "  LD      $@")
	$(Q)$(CC) $(FLAGS) $^ -o $@

api-test: $(API_TEST)
	timeout 300 $(API_TEST)
	@if [ -r /dev/kvm ] && [ -w /dev/kvm ]; then \
		timeout 300 $(API_TEST) --kvm || \
			echo "NOTE: this host's /dev/kvm differs, see above"; \
	else echo "SKIP: no /dev/kvm to compare with"; fi
api-test-kvm: $(API_TEST)
	timeout 300 $(API_TEST) --kvm
.PHONY: api-test api-test-kvm
