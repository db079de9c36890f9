# make lint: layers, self-contained headers, format, static analysis, sizes.
lint-c = $(shell git ls-files -co --exclude-standard '*.c' '*.h')

lint:
	$(Q)scripts/deps.sh lint
	$(Q)scripts/check-layers
	$(Q)scripts/check-headers
	$(Q)scripts/check-size
	$(Q)scripts/check-words
	$(Q)clang-format-14 --dry-run -Werror $(lint-c)
	$(Q)cppcheck -q --std=c11 --enable=warning,portability --error-exitcode=1 \
		--inline-suppr --suppressions-list=scripts/cppcheck.txt \
		-D__x86_64__ -I. $(filter-out test/guest/%,$(filter %.c,$(lint-c)))
	@echo "lint: no findings"
.PHONY: lint
