# The KVM API's tests: on the soft KVM, and on /dev/kvm where there is one.
API_TEST := $O/test/api/api
API_TEST_OBJ := $(patsubst %,$O/%.o,$(wildcard test/api/*.c))

$(API_TEST): $(API_TEST_OBJ) $O/libring3.a
	$(if $(V),,@echo "  LD      $@")
	$(Q)$(CC) $(FLAGS) $^ -o $@

api-test: $(API_TEST)
	timeout 300 $(API_TEST)
	@if [ -r /dev/kvm ] && [ -w /dev/kvm ]; then \
		echo "timeout 300 $(API_TEST) --kvm"; \
		timeout 300 $(API_TEST) --kvm; \
	else echo "SKIP: no /dev/kvm to compare with"; fi
.PHONY: api-test
