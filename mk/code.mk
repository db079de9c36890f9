# make code-test: the translator's code is what test/code/*.txt say.
# make code-expect writes these files; a commit that changes code changes them
# too, and their difference is read in review.  A merge that conflicts in them
# takes either side and runs it again.
CODE_TEST := $O/test/code/code
CODE_TEST_OBJ := $(patsubst %,$O/%.o,$(wildcard test/code/*.c test/code/*.S))

$O/test/code/%.S.o: test/code/%.S
	@mkdir -p $(@D)
	$(if $(V),,@echo "  AS      $<")
	$(Q)$(CC) -I. -MMD -MP -c $< -o $@
$(CODE_TEST): $(CODE_TEST_OBJ) $O/engine.a
	$(if $(V),,@echo "  LD      $@")
	$(Q)$(CC) $(FLAGS) $^ -lZydis -o $@

code-test: $(CODE_TEST)
	$(Q)$< --check test/code $O/test/code || { \
		for f in listing rows; do diff -u test/code/$$f.txt \
			$O/test/code/$$f.txt.new | head -n 60; done; exit 1; }
code-expect: $(CODE_TEST)
	$(Q)scripts/deps.sh test
	$(Q)$< --write test/code
.PHONY: code-test code-expect
