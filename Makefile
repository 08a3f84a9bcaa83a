# SPDX-License-Identifier: Apache-2.0
# adit: `make` builds, `make run` runs the main job, `make test` proves it, `make help` lists more.
#   O=DIR     where to build (default: build, or build-<san> and build-debug)
#   V=1       show commands        DEBUG=1  -O0        STATIC=0  adit with shared libraries
#   SAN=...   address,undefined or thread
#   WERROR=1  warnings are errors (CI)

MAKEFLAGS += --no-builtin-rules
.SUFFIXES:
.DELETE_ON_ERROR:
.DEFAULT_GOAL := all

comma := ,
empty :=
space := $(empty) $(empty)
SAN_NAME := $(subst $(comma),-,$(SAN))
O ?= build$(if $(SAN),-$(SAN_NAME))$(if $(DEBUG),-debug)
VERSION := $(shell cat VERSION)

ifeq ($(origin CC),default)
CC := gcc
endif
AR ?= ar
ifeq ($(origin AR),default)
AR := ar
endif
IASL ?= iasl
OBJCOPY ?= objcopy
CLANG ?= clang
PKG_CONFIG ?= pkg-config
PREFIX ?= /usr/local
BINDIR ?= $(PREFIX)/bin
LIBEXECDIR ?= $(PREFIX)/libexec/adit
LIBDIR ?= $(PREFIX)/lib
INCLUDEDIR ?= $(PREFIX)/include/ioasid
MANDIR ?= $(PREFIX)/share/man
DOCDIR ?= $(PREFIX)/share/doc/adit
UNITDIR ?= $(PREFIX)/lib/systemd/system
SYSUSERSDIR ?= $(PREFIX)/lib/sysusers.d
BASHCOMPDIR ?= $(PREFIX)/share/bash-completion/completions

ifeq ($(V),1)
Q :=
say = @:
else
Q := @
say = @printf '  %-8s %s\n'
MAKEFLAGS += --no-print-directory
endif

# --- flags -----------------------------------------------------------------------------------

WARN := -Wall -Wextra -Wshadow -Wmissing-prototypes -Wstrict-prototypes -Wpointer-arith \
	-Wno-unused-parameter -Wno-missing-field-initializers
OPT := $(if $(DEBUG),-O0,-O2)
CFLAGS ?= $(OPT) -g
ADIT_CFLAGS := -std=gnu17 -D_GNU_SOURCE -DADIT_VERSION='"$(VERSION)"' -I. -I$(O)/gen -pthread \
	-fno-strict-aliasing -fvisibility=hidden -fstack-protector-strong -fPIE \
	-ffunction-sections -fdata-sections $(if $(SAN),,-fno-asynchronous-unwind-tables) \
	$(WARN) $(if $(WERROR),-Werror) \
	$(if $(SAN),-DADIT_SANITIZED -fsanitize=$(SAN) -fno-sanitize-recover=all \
		-fno-omit-frame-pointer)
ADIT_LDFLAGS := -pthread -pie -Wl,-z,relro -Wl,-z,now -Wl,--as-needed -Wl,-O1 -Wl,--gc-sections \
	$(if $(SAN),-fsanitize=$(SAN))
JSON_LIBS = $(shell $(PKG_CONFIG) --libs json-c)
URING_LIBS = $(shell $(PKG_CONFIG) --libs liburing)
XML_CFLAGS = $(shell $(PKG_CONFIG) --cflags libxml-2.0)
XML_LIBS = $(shell $(PKG_CONFIG) --libs libxml-2.0)
CMOCKA_LIBS = $(shell $(PKG_CONFIG) --libs cmocka)

# adit is one file with its libraries inside where they can be had so: the dynamic loader would be a
# third of the time to a guest's first output. Its relocations are packed: as a list they are 60 KiB
# that every VM reads. STATIC=0 links shared libraries, as distributions want.
ARCHIVED := $(filter /%,$(foreach l,c json-c uring,$(shell $(CC) -print-file-name=lib$(l).a)))
STATIC ?= $(if $(SAN),0,$(if $(filter 3,$(words $(ARCHIVED))),1,0))
ifeq ($(STATIC),1)
ADIT_STATIC = $(filter-out -pie,$(ADIT_LDFLAGS)) -static-pie -Wl,-z,pack-relative-relocs
STATIC_LIBS = $(shell $(PKG_CONFIG) --static --libs json-c liburing) $(HTTP_LIBS)
else
ADIT_STATIC = $(ADIT_LDFLAGS)
STATIC_LIBS = $(LIBS)
endif

# --- rooms: one archive each, linked from the top of the house down -----------------------------

ROOMS := vmm passthrough kvm-glue ioasid-client keeper util
SRC_vmm := $(filter-out vmm/main.c vmm/cmd-%.c,$(wildcard vmm/*.c vmm/api/*.c vmm/virtio/*.c))
SRC_passthrough := $(wildcard passthrough/*/*.c)
SRC_kvm-glue := $(wildcard kvm-glue/*.c)
SRC_ioasid-client := $(wildcard ioasid-client/*.c ioasid-client/providers/*.c)
SRC_keeper := $(filter-out keeper/main.c,$(wildcard keeper/*.c))
SRC_util := $(wildcard util/*.c)
SRC_libvirt-driver := $(filter-out libvirt-driver/main.c,$(wildcard libvirt-driver/*.c))
SRC_adit := vmm/main.c $(wildcard vmm/cmd-*.c)
SRC_adit-keeper := keeper/main.c
SRC_virtaditd := libvirt-driver/main.c
# bench/ is a program and no room; its parts are an archive for its tests.
SRC_bench := $(filter-out bench/main.c bench/floor.c bench/exit-gap.c,$(wildcard bench/*.c))

obj = $(patsubst %.c,$(O)/obj/%.o,$(1))
ARCHIVES := $(foreach r,$(ROOMS),$(O)/lib$(r).a)
# What runs before the guest does, or when somebody asks for something rare, is built small: the
# file's pages are most of what a VM costs beyond its RAM. What exits, rings and engines go through
# is not.
QUICK := vmm/processors.c vmm/serial.c vmm/serial-model.c vmm/rtc.c $(wildcard vmm/virtio/*.c)
$(call obj,$(filter-out $(QUICK),$(SRC_vmm)) $(SRC_keeper) $(SRC_adit) $(wildcard passthrough/vfio*/*.c)): \
	OPT = $(if $(DEBUG),-O0,-Os)
# A table of jumps would be one more page that each access touches.
$(call obj,vmm/serial-model.c): ADIT_CFLAGS += -fno-jump-tables
# Beside vmm at the top, and nothing that adit links: its libraries are virtaditd's alone.
DRIVER := $(O)/liblibvirt-driver.a
OBJS := $(foreach r,libvirt-driver $(ROOMS),$(call obj,$(SRC_$(r)))) $(call obj,$(SRC_adit) $(SRC_adit-keeper) $(SRC_virtaditd) \
	$(SRC_bench) bench/main.c)
# Always its archive: one more shared library would cost every start, also those without an API.
HTTP_LIBS := -l:libhttp_parser.a
LIBS = $(JSON_LIBS) $(URING_LIBS) $(HTTP_LIBS)

PROGRAMS := $(O)/adit $(O)/adit-keeper $(O)/virtaditd
ifneq ($(wildcard bench/*.c),)
PROGRAMS += $(O)/adit-bench $(O)/bench/floor $(O)/bench/exit-gap.so $(O)/bench/adit-timed
endif

include tests/tests.mk
include tests/suites.mk
include tests/rig.mk

.PHONY: all programs
all: programs guests
programs: $(PROGRAMS)
.PHONY: guests

# Changing a flag or the compiler rebuilds what it touched.
FLAGS_STAMP := $(CC) $(CFLAGS) $(ADIT_CFLAGS) $(ADIT_LDFLAGS) $(LDFLAGS)
$(shell mkdir -p $(O)/gen; printf '%s\n' '$(subst ','\'',$(FLAGS_STAMP))' | \
	cmp -s - $(O)/flags || printf '%s\n' '$(subst ','\'',$(FLAGS_STAMP))' > $(O)/flags)

$(O)/obj/%.o: %.c $(O)/flags | packages
	$(say) CC $<
	$(Q)mkdir -p $(@D)
	$(Q)$(CC) $(ADIT_CFLAGS) $(CFLAGS) -MMD -MP -c -o $@ $<

define room
$(O)/lib$(1).a: $(call obj,$(SRC_$(1)))
	$$(say) AR $$@
	$$(Q)rm -f $$@ && $$(AR) rcs $$@ $$^
endef
$(foreach r,libvirt-driver $(ROOMS),$(eval $(call room,$(r))))

# What every VM executes lies together in the file: scattered, it was twice as many pages of memory.
ORDER := vmm/order/adit.ld
ORDERED = $(if $(SAN),,-Wl,-T,$(ORDER))
$(O)/adit: $(call obj,$(SRC_adit)) $(ARCHIVES) $(ORDER)
	$(say) LD $@
	$(Q)$(CC) $(ADIT_STATIC) $(ORDERED) $(LDFLAGS) -o $@ $(filter-out $(ORDER),$^) $(STATIC_LIBS)

# Runs with privilege: libc and its own few files.
$(O)/adit-keeper: $(call obj,$(SRC_adit-keeper)) $(O)/libkeeper.a $(O)/libutil.a
	$(say) LD $@
	$(Q)$(CC) $(ADIT_LDFLAGS) $(LDFLAGS) -o $@ $^

# libxml2 is this program's alone.
$(call obj,$(SRC_libvirt-driver) $(SRC_virtaditd)): ADIT_CFLAGS += $(XML_CFLAGS)
$(O)/virtaditd: $(call obj,$(SRC_virtaditd)) $(DRIVER) $(O)/libkeeper.a $(O)/libutil.a
	$(say) LD $@
	$(Q)$(CC) $(ADIT_LDFLAGS) $(LDFLAGS) -o $@ $^ $(LIBS) $(XML_LIBS)

# The DSDT: ASL -> AML -> bytes in a header.
$(O)/gen/dsdt.aml: vmm/dsdt.asl vmm/platform.h | packages
	$(say) IASL $<
	$(Q)mkdir -p $(@D)
	$(Q)$(CC) -E -P -x assembler-with-cpp -I. -o $(O)/gen/dsdt.asl $<
	$(Q)cd $(O)/gen && $(IASL) -vs -p dsdt dsdt.asl > dsdt.log 2>&1 || { cat dsdt.log; exit 1; }
$(O)/gen/dsdt.h: $(O)/gen/dsdt.aml
	$(Q){ echo 'static const unsigned char dsdt_aml[] = {'; \
		od -An -v -tx1 $< | sed 's/ \(..\)/ 0x\1,/g'; echo '};'; } > $@
$(call obj,vmm/acpi.c): $(O)/gen/dsdt.h

# The sandbox: a table -> libseccomp -> filters as bytes in a header, and the list in docs/.
SANDBOX_TABLE := vmm/sandbox/table.h util/sandbox.h ioasid-client/providers/iommufd-uapi.h
$(O)/sandbox-generate: vmm/sandbox/generate.c $(SANDBOX_TABLE) $(O)/flags | packages
	$(say) CC $<
	$(Q)$(CC) -std=gnu17 -D_GNU_SOURCE -I. -O1 $(WARN) $(if $(WERROR),-Werror) -o $@ $< \
		$(shell $(PKG_CONFIG) --libs libseccomp)
$(O)/gen/sandbox-filters.h: $(O)/sandbox-generate
	$(say) SECCOMP $@
	$(Q)$(O)/sandbox-generate header > $@
$(call obj,util/sandbox.c): $(O)/gen/sandbox-filters.h

# The API's document, whose schemas of the configuration are the table's of keys.
$(O)/openapi-generate: $(call obj,vmm/openapi/generate.c) $(ARCHIVES)
	$(say) LD $@
	$(Q)$(CC) $(ADIT_LDFLAGS) $(LDFLAGS) -o $@ $^ $(LIBS)

# --- libioasid: ioasid-client for other programs ------------------------------------------------

# One object with nothing but the public names, so that a program's own names cannot meet ours.
LIBIOASID_HEADERS := $(addprefix ioasid-client/,ioasid.h types.h ctx.h device.h space.h pasid.h \
	fault.h memory.h dma.h pasid-table.h) util/err.h util/epoch.h
LIBIOASID_OBJS = $(call obj,$(SRC_ioasid-client) util/err.c util/epoch.c util/parallel.c)
$(O)/libioasid.a: $(LIBIOASID_OBJS)
	$(say) AR $@
	$(Q)$(CC) -r -nostdlib -o $(O)/libioasid.o $^
	$(Q)$(OBJCOPY) --wildcard $(patsubst %,--keep-global-symbol='%',ioasid_* pasid_table_* \
		err_* epoch_*) $(O)/libioasid.o
	$(Q)rm -f $@ && $(AR) rcs $@ $(O)/libioasid.o
$(O)/libioasid.pc: ioasid-client/libioasid.pc.in VERSION $(O)/flags
	$(Q)sed -e 's|@PREFIX@|$(PREFIX)|; s|@LIBDIR@|$(LIBDIR)|; s|@INCLUDEDIR@|$(INCLUDEDIR)|' \
		-e 's|@VERSION@|$(VERSION)|' $< > $@
.PHONY: $(O)/libioasid.pc

# --- bench -----------------------------------------------------------------------------------

# What figures are of. Only adit-bench's main knows it, so that a commit rebuilds nothing else and
# adit is the same whatever tree it was built in; without git (a release) there is nothing to know.
ifeq ($(origin DESCRIBE),undefined)
DESCRIBE := $(if $(wildcard .git),$(shell GIT_OPTIONAL_LOCKS=0 git describe --always --dirty \
	2>/dev/null))
endif
$(shell printf '\043define ADIT_DESCRIBE "%s"\n' '$(DESCRIBE)' > $(O)/gen/describe-build.new; \
	cmp -s $(O)/gen/describe-build.new $(O)/gen/describe-build.h || \
	cp $(O)/gen/describe-build.new $(O)/gen/describe-build.h)

$(O)/libbench.a: $(call obj,$(SRC_bench))
	$(say) AR $@
	$(Q)rm -f $@ && $(AR) rcs $@ $^
$(O)/adit-bench: $(call obj,bench/main.c) $(O)/libbench.a $(ARCHIVES)
	$(say) LD $@
	$(Q)$(CC) $(ADIT_LDFLAGS) $(LDFLAGS) -o $@ $^ $(LIBS) -lm
# The floor of the comparisons is a program of its own without sanitizers or libraries.
$(O)/bench/floor: bench/floor.c $(O)/flags | packages
	$(say) CC $<
	$(Q)mkdir -p $(@D)
	$(Q)$(CC) -std=gnu17 -D_GNU_SOURCE -I. -O2 -g $(WARN) $(if $(WERROR),-Werror) -o $@ $<
$(O)/bench/exit-gap.so: bench/exit-gap.c $(O)/flags | packages
	$(say) CC $<
	$(Q)mkdir -p $(@D)
	$(Q)$(CC) -std=gnu17 -D_GNU_SOURCE -I. -O2 -g $(WARN) $(if $(WERROR),-Werror) -fPIC -shared \
		-o $@ $<

# adit once more, with the clock of exit-gap.c around its calls: a static program takes no preload.
$(O)/obj/bench/exit-gap-wrap.o: bench/exit-gap.c $(O)/flags | packages
	$(say) CC $@
	$(Q)mkdir -p $(@D)
	$(Q)$(CC) -std=gnu17 -D_GNU_SOURCE -DWRAP -I. -O2 -g $(WARN) $(if $(WERROR),-Werror) \
		-fPIE -c -o $@ $<
$(O)/bench/adit-timed: $(call obj,$(SRC_adit)) $(O)/obj/bench/exit-gap-wrap.o $(ARCHIVES) $(ORDER)
	$(say) LD $@
	$(Q)$(CC) $(ADIT_STATIC) $(ORDERED) -Wl,--wrap=ioctl,--wrap=populate_end $(LDFLAGS) -o $@ $(filter-out $(ORDER),$^) \
		$(STATIC_LIBS)

# --- the order of adit's code --------------------------------------------------------------------

# Written anew now and then by hand, with gcc: what is missing in it costs memory and nothing else.
$(O)/order-generate: vmm/order/generate.c $(O)/flags | packages
	$(say) CC $<
	$(Q)$(CC) -std=gnu17 -D_GNU_SOURCE -I. -O2 $(WARN) $(if $(WERROR),-Werror) -o $@ $<
.PHONY: order
order: $(O)/adit $(O)/order-generate $(O)/guest/hello.bin $(O)/guest/spin.bin
	$(Q)$(CC) $(ADIT_STATIC) $(ORDERED) -Wl,-Map=$(O)/order.map $(LDFLAGS) -o $(O)/order-adit \
		$(call obj,$(SRC_adit)) $(ARCHIVES) $(STATIC_LIBS)
	$(Q)for guest in hello spin; do \
		echo '{"payload": {"flat": "$(O)/guest/'$$guest'.bin", "address": "2M"}, "debug_exit": true}' \
			> $(O)/order-$$guest.json || exit 1; done
	$(Q)$(O)/order-generate $(O)/order.map $(O)/order-adit $(O)/order-hello.json $(O)/order-spin.json \
		> $(O)/order.ld
	$(Q)mv $(O)/order.ld $(ORDER)

# --- people's targets ----------------------------------------------------------------------------

.PHONY: packages run install uninstall clean help check bench
# Order-only, so that it runs before anything is compiled and rebuilds nothing.
packages:
	@.ci/packages build

# The example's payload path names build/; with another O the configuration is rewritten for it.
$(O)/config.example.json: config.example.json
	$(Q)sed 's|"build/|"$(O)/|' $< > $@
run: all $(O)/config.example.json
	$(Q)$(O)/adit run $(O)/config.example.json

bench: all
	$(Q)$(O)/adit bench all --brief --rounds 9 --json $(O)/bench.json --svg $(O)/bench.svg

UNITS := $(wildcard libvirt-driver/units/*.in vmm/units/*.in)
MANPAGES := $(wildcard docs/man/*.[1-8])
# The bench finds what it starts as in the build tree: adit, bench/ and guest/ beside it.
BENCH_GUESTS := $(patsubst %,$(O)/guest/%.bin,hello spin doorbell diskload dmaload fleet netload)
install: programs $(BENCH_GUESTS) $(O)/libioasid.a $(O)/libioasid.pc
	install -d $(DESTDIR)$(BINDIR) $(DESTDIR)$(LIBEXECDIR)/bench $(DESTDIR)$(LIBEXECDIR)/guest \
		$(DESTDIR)$(DOCDIR) $(DESTDIR)$(BASHCOMPDIR)
	install -m 755 $(O)/adit $(DESTDIR)$(BINDIR)/adit
	for p in $(filter-out $(O)/adit,$(PROGRAMS)); do \
		install -m 755 $$p $(DESTDIR)$(LIBEXECDIR)/$${p#$(O)/} || exit 1; done
	install -m 644 $(BENCH_GUESTS) $(DESTDIR)$(LIBEXECDIR)/guest/
	ln -sfr $(DESTDIR)$(BINDIR)/adit $(DESTDIR)$(LIBEXECDIR)/adit
	for m in $(MANPAGES); do s=$${m##*.}; install -d $(DESTDIR)$(MANDIR)/man$$s && \
		install -m 644 $$m $(DESTDIR)$(MANDIR)/man$$s/ || exit 1; done
	install -d $(DESTDIR)$(LIBDIR)/pkgconfig
	install -m 644 $(O)/libioasid.a $(DESTDIR)$(LIBDIR)/
	install -m 644 $(O)/libioasid.pc $(DESTDIR)$(LIBDIR)/pkgconfig/
	for h in $(LIBIOASID_HEADERS); do install -d $(DESTDIR)$(INCLUDEDIR)/$${h%/*} && \
		install -m 644 $$h $(DESTDIR)$(INCLUDEDIR)/$$h || exit 1; done
	install -d $(DESTDIR)$(UNITDIR)
	for u in $(UNITS); do sed 's|@LIBEXECDIR@|$(LIBEXECDIR)|;s|@BINDIR@|$(BINDIR)|' $$u \
		> $(DESTDIR)$(UNITDIR)/$$(basename $$u .in) || exit 1; done
	install -d $(DESTDIR)$(SYSUSERSDIR)
	install -m 644 vmm/units/adit.sysusers $(DESTDIR)$(SYSUSERSDIR)/adit.conf
	install -m 644 docs/adit.bash-completion $(DESTDIR)$(BASHCOMPDIR)/adit
	install -m 644 config.example.json README.md docs/openapi.json docs/benchmarks.md \
		docs/bench.schema.json $(DESTDIR)$(DOCDIR)/
uninstall:
	rm -f $(addprefix $(DESTDIR)$(UNITDIR)/,$(basename $(notdir $(UNITS))))
	rm -f $(DESTDIR)$(SYSUSERSDIR)/adit.conf
	rm -f $(DESTDIR)$(BINDIR)/adit $(DESTDIR)$(BASHCOMPDIR)/adit
	rm -f $(DESTDIR)$(LIBDIR)/libioasid.a $(DESTDIR)$(LIBDIR)/pkgconfig/libioasid.pc
	rm -rf $(DESTDIR)$(LIBEXECDIR) $(DESTDIR)$(DOCDIR) $(DESTDIR)$(INCLUDEDIR)
	for m in $(notdir $(MANPAGES)); do rm -f $(DESTDIR)$(MANDIR)/man$${m##*.}/$$m; done

clean:
	rm -rf $(O)

help:
	@sed -n '2,6s/^# \{0,1\}//p' Makefile
	@echo "targets: all run test test-san test-long test-unit test-guest test-rig rig-shell check bench order install clean"

-include $(OBJS:.o=.d)
