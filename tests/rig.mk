# SPDX-License-Identifier: Apache-2.0
# The rig (docs/rig.md): suites inside a Linux under QEMU; included by the Makefile.
#   RIG='boot-l2 smoke@amd'  only these scenarios

RIG_RUN = ADIT_BUILD=$(abspath $(O)) ADIT_TEST_TOTALS=$(TOTALS) tests/rig/run

# The rig's own programs: endpoint runs beside QEMU, the others in L1.
RIG_PROGRAMS := $(patsubst %.c,$(O)/%,$(wildcard tests/rig/*.c))
$(O)/tests/rig/%: $(O)/obj/tests/rig/%.o $(ARCHIVES)
	$(say) LD $@
	$(Q)mkdir -p $(@D)
	$(Q)$(CC) $(ADIT_LDFLAGS) $(LDFLAGS) -o $@ $^ $(LIBS)
test-programs: $(RIG_PROGRAMS)

.PHONY: rig rig-long test-rig test-rig-long rig-shell
rig:
	@.ci/packages rig
	$(Q)tests/rig/build
rig-long:
	@.ci/packages rig
	$(Q)tests/rig/build --long
test-rig: rig test-programs
	$(Q)$(RIG_RUN) $(RIG)
test-rig-long: rig-long test-programs
	$(Q)$(RIG_RUN) --long $(RIG)
# What `make test` and `make test-long` call: a user without root uses a rig that is there.
RIG_READY := $${XDG_CACHE_HOME:-$$HOME/.cache}/adit/rig/l2/.stamp
.PHONY: test-rig-here test-rig-long-here
test-rig-here test-rig-long-here: test-rig%-here:
	$(Q)if [ "$$(id -u)" = 0 ]; then $(MAKE) --no-print-directory test-rig$*; \
	elif [ -e "$(RIG_READY)" ]; then $(RIG_RUN) $(subst -,--,$*); \
	else echo "rig       SKIPPED: there is none, and building one needs root: sudo make rig"; \
		echo "0 0 1" >>$(TOTALS); fi
# An L1 to try things in by hand; RIG_IOMMU=amd and ADIT_RIG_DEVICES='nvme,...' choose its hardware.
rig-shell: rig test-programs
	$(Q)$(RIG_RUN) --shell $(RIG_IOMMU)

SHELL_FILES += tests/rig/build tests/rig/run $(wildcard tests/rig/*.sh tests/rig/steps/* tests/rig/l1/* \
	tests/rig/guest/* tests/rig/scenarios/*)
