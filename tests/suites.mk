# SPDX-License-Identifier: Apache-2.0
# The suites and what runs them; included by the Makefile after tests.mk.

TEST_LINK = $(Q)mkdir -p $(@D) && $(CC) $(ADIT_LDFLAGS) $(LDFLAGS) -o $@ $^ $(LIBS) $(XML_LIBS) $(CMOCKA_LIBS)

# Host programs that run guests: tests/guest/test-*.c over the harness.
GUEST_TESTS := $(patsubst %.c,$(O)/%,$(wildcard tests/guest/test-*.c))
$(O)/tests/guest/%: $(O)/obj/tests/guest/%.o $(O)/obj/tests/guest/harness.o $(ARCHIVES)
	$(say) LD $@
	$(TEST_LINK)

# Fuzzers: under any compiler as a replay of the corpus and seeded mutations of it; with clang also
# as libFuzzer programs for the long tier.
FUZZERS := $(patsubst tests/fuzz/fuzz-%.c,%,$(wildcard tests/fuzz/fuzz-*.c))
FUZZ_REPLAY := $(patsubst %,$(O)/tests/fuzz/fuzz-%,$(FUZZERS))
$(O)/tests/fuzz/fuzz-%: $(O)/obj/tests/fuzz/fuzz-%.o $(O)/obj/tests/fuzz/replay.o $(DRIVER) $(ARCHIVES)
	$(say) LD $@
	$(TEST_LINK)

CLI_TESTS := $(wildcard tests/cli/test-*.sh)
# Programs of other projects, unmodified, as clients of ours.
CLIENT_TESTS := $(wildcard tests/clients/test-*.sh)
# Suites of Debian whose virsh and bindings the long tier takes as well.
NEWER_CLIENTS ?= trixie sid

DEPS_OF_TESTS := $(wildcard $(O)/obj/tests/*/*.d)
-include $(DEPS_OF_TESTS)

LOGS := $(O)/test-logs
TOTALS := $(abspath $(O))/test-totals
RUN := ADIT_BUILD=$(abspath $(O)) ADIT_TEST_TOTALS=$(TOTALS) tests/run

.PHONY: test test-unit test-guest test-fuzz test-cli test-clients test-san test-long test-programs totals
.PHONY: test-packages
test-packages:
	@.ci/packages build test
test-programs: all $(O)/openapi-generate $(UNIT) $(GUEST_TESTS) $(FUZZ_REPLAY)

# A failing suite does not keep the next from running; the sum line decides.
test: test-packages
	$(Q)rm -f $(TOTALS)
	$(Q)$(MAKE) --no-print-directory -k test-unit test-guest test-fuzz test-cli test-clients test-rig-here || \
		echo broken >>$(TOTALS)
	$(Q)$(MAKE) --no-print-directory totals
# A suite that could not even be built has counted nothing: it is one failure. What failed is named
# once more, for who sees the end of a long output and nothing else.
totals:
	@awk '/^failed/ { print; next } /broken/ { b = 1; next } { p += $$1; f += $$2; s += $$3 } END { if (b && !f) f = 1; \
		printf "%d passed, %d failed, %d skipped\n", p, f, s; exit !(p && !f) }' $(TOTALS)

test-unit: test-packages $(UNIT)
	$(Q)$(RUN) unit $(LOGS) $(sort $(UNIT))
test-guest: test-packages all $(GUEST_TESTS)
	$(Q)$(RUN) guest $(LOGS) $(sort $(GUEST_TESTS))
test-fuzz: test-packages $(FUZZ_REPLAY)
	$(Q)$(RUN) fuzz $(LOGS) \
		$(foreach f,$(FUZZERS),"$(O)/tests/fuzz/fuzz-$(f) tests/fuzz/corpus/$(f)")
test-cli: test-packages all $(O)/openapi-generate
	$(Q)$(RUN) cli $(LOGS) $(CLI_TESTS)
test-clients: test-packages all
	$(Q)$(RUN) clients $(LOGS) $(CLIENT_TESTS)
# Where they cannot be had, each says so and counts as skipped.
.PHONY: test-newer-clients test-desktop
test-newer-clients: test-packages all
	$(Q)status=0; for suite in $(NEWER_CLIENTS); do \
		ADIT_BUILD=$(abspath $(O)) ADIT_TEST_TOTALS=$(TOTALS) tests/clients/newer $$suite $(LOGS) || \
			status=1; done; exit $$status
test-desktop: test-packages all
	$(Q).ci/packages desktop || true
	$(Q)$(RUN) desktop $(LOGS) tests/clients/virt-manager.sh

# Unit and guest suites (and the corpora) under the sanitizers, each in a build of its own.
test-san: test-packages
	$(Q)rm -f $(TOTALS)
	$(Q)for san in address,undefined thread; do \
		echo "sanitizers: $$san"; \
		$(MAKE) --no-print-directory -k SAN=$$san O=$(O)-$$(echo $$san | tr , -) \
			TOTALS=$(TOTALS) LOGS=$(LOGS)-$$(echo $$san | tr , -) \
			ADIT_FUZZ_RUNS=2000 test-unit test-guest test-fuzz \
			|| echo "0 1 0" >>$(TOTALS); \
	done
	$(Q)$(MAKE) --no-print-directory totals

# More of the same: long random tests, many starts and stops, and libFuzzer for minutes each.
LONG_FUZZ_SECONDS ?= 600
LIBFUZZER := $(patsubst %,$(O)/libfuzzer/fuzz-%,$(FUZZERS))
$(O)/libfuzzer/fuzz-%: $(O)/obj/tests/fuzz/fuzz-%.o $(DRIVER) $(ARCHIVES)
	$(say) FUZZ $@
	$(Q)mkdir -p $(@D)
	$(Q)$(CC) $(ADIT_LDFLAGS) -fsanitize=fuzzer -o $@ $^ $(LIBS) $(XML_LIBS)
.PHONY: fuzzers libfuzzer-programs
libfuzzer-programs: $(LIBFUZZER)
FUZZ_BUILD := $(O)-libfuzzer
fuzzers:
	@.ci/packages build check
	$(Q)$(MAKE) --no-print-directory CC=$(CLANG) SAN=address,undefined O=$(FUZZ_BUILD) \
		CFLAGS='-O1 -g -fsanitize=fuzzer-no-link' libfuzzer-programs
test-long: test-packages test-programs fuzzers
	$(Q)rm -f $(TOTALS)
	$(Q)export ADIT_TEST_OPS=1000000 ADIT_TEST_LONG=1 ADIT_FUZZ_RUNS=1000000 ADIT_TEST_TIMEOUT=7200; \
		$(MAKE) --no-print-directory -k test-unit test-guest test-cli test-clients test-newer-clients test-desktop \
			test-rig-long-here || \
			echo broken >>$(TOTALS); \
		$(RUN) libfuzzer $(LOGS) $(foreach f,$(FUZZERS),"tests/fuzz/long \
			$(FUZZ_BUILD)/libfuzzer/fuzz-$(f) tests/fuzz/corpus/$(f) $(LONG_FUZZ_SECONDS)") || true
	$(Q)$(MAKE) --no-print-directory totals

# --- static checks ----------------------------------------------------------------------------

C_FILES = $(shell git ls-files '*.c' '*.h' 2>/dev/null || find . -name '*.[ch]' -not -path './build*')
SHELL_FILES := .ci/run .ci/packages tests/run tests/arrows tests/fuzz/long $(wildcard tests/cli/*.sh tests/clients/*.sh) \
	tests/clients/build tests/clients/house tests/clients/newer tests/clients/start tests/clients/steps/tree
.PHONY: check check-format check-arrows check-tidy check-cppcheck check-words check-clang
check: check-format check-arrows check-words check-cppcheck check-clang check-tidy
	@echo "check: all clean"
check-packages:
	@.ci/packages build check
check-format: check-packages
	$(say) FORMAT
	$(Q)clang-format --dry-run -Werror $(C_FILES)
check-arrows:
	$(say) ARROWS
	$(Q)tests/arrows
check-words: check-packages
	$(say) WORDS
	$(Q)codespell -L inout,te,fo,ser,wqs,thre,nd,ist,fro,memroy,sise -S '*.json,./build*,./.git,corpus' $$(git ls-files ':!tests/fuzz/corpus')
	$(Q)shellcheck -x $(SHELL_FILES)
check-cppcheck: check-packages
	$(say) CPPCHECK
	$(Q)cppcheck -q -j2 --std=c11 --language=c --error-exitcode=1 --inline-suppr \
		--enable=warning,performance,portability --suppress=missingIncludeSystem \
		--suppress=internalAstError -D_GNU_SOURCE -D__x86_64__ -I. \
		$(filter-out tests/unit/% tests/guest/test-%,$(filter %.c,$(C_FILES)))
# The other compiler builds everything without a warning.
check-clang: check-packages
	$(Q)$(MAKE) --no-print-directory CC=$(CLANG) O=$(O)-clang WERROR=1 test-programs
TIDY_FILES = $(filter-out tests/%,$(filter %.c,$(C_FILES)))
check-tidy: check-packages $(O)/gen/dsdt.h $(O)/gen/sandbox-filters.h
	$(say) TIDY
	$(Q)printf '%s\n' $(TIDY_FILES) | xargs -P2 -n4 sh -c 'clang-tidy --quiet "$$@" -- \
		-std=gnu17 -D_GNU_SOURCE -DADIT_VERSION=\"0\" -I. -I$(O)/gen $(XML_CFLAGS) 2>/dev/null' --
