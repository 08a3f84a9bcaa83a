# SPDX-License-Identifier: Apache-2.0
# Test programs, guest payloads and the targets that run them; included by the Makefile.

# --- unit tests: one program a file, linked against every room and the bench's parts ---------------

UNIT := $(patsubst %.c,$(O)/%,$(wildcard tests/unit/test-*.c))
$(O)/tests/unit/%: $(O)/obj/tests/unit/%.o $(DRIVER) $(O)/libbench.a $(ARCHIVES)
	$(say) LD $@
	$(Q)mkdir -p $(@D)
	$(Q)$(CC) $(ADIT_LDFLAGS) $(LDFLAGS) -o $@ $^ $(LIBS) $(XML_LIBS) $(CMOCKA_LIBS) -lm
.SECONDARY: $(patsubst %.c,$(O)/obj/%.o,$(wildcard tests/*/*.c))

# --- guest payloads: freestanding, flat, 64-bit ------------------------------------------------

# No vector registers and no CET: the same code runs at CPL0 where KVM has to emulate it.
GUEST_CFLAGS := -std=gnu17 -O2 -g -ffreestanding -fno-pic -fno-pie -mno-red-zone \
	-mgeneral-regs-only -fcf-protection=none -fno-stack-protector \
	-fno-asynchronous-unwind-tables -fno-strict-aliasing -ffunction-sections -fdata-sections \
	-I. -Itests/guest/kit $(WARN) $(if $(WERROR),-Werror)
GUEST_LDFLAGS := -nostdlib -static -Wl,-T,tests/guest/kit/flat.ld -Wl,--build-id=none \
	-Wl,--gc-sections -Wl,-z,noexecstack -Wl,-z,max-page-size=4096
KIT_OBJS := $(patsubst tests/guest/%,$(O)/guest/obj/%.o,$(basename \
	$(wildcard tests/guest/kit/*.c tests/guest/kit/*.S)))
GUESTS := $(patsubst tests/guest/payload/%.c,$(O)/guest/%.bin,$(wildcard tests/guest/payload/*.c))
guests: $(GUESTS)

$(O)/guest/obj/%.o: tests/guest/%.c $(O)/flags | packages
	$(say) CC $<
	$(Q)mkdir -p $(@D)
	$(Q)$(CC) $(GUEST_CFLAGS) -MMD -MP -c -o $@ $<
$(O)/guest/obj/%.o: tests/guest/%.S $(O)/flags | packages
	$(say) AS $<
	$(Q)mkdir -p $(@D)
	$(Q)$(CC) $(GUEST_CFLAGS) -MMD -MP -c -o $@ $<
$(O)/guest/libkit.a: $(KIT_OBJS)
	$(say) AR $@
	$(Q)rm -f $@ && $(AR) rcs $@ $^
# hello has an entry of its own, so the kit's is not pulled out of the archive.
$(O)/guest/%.elf: $(O)/guest/obj/payload/%.o $(O)/guest/libkit.a tests/guest/kit/flat.ld
	$(say) LD $@
	$(Q)$(CC) $(GUEST_LDFLAGS) -Wl,-u,_start -o $@ $(filter %.o %.a,$^)
$(O)/guest/%.bin: $(O)/guest/%.elf
	$(Q)$(OBJCOPY) -O binary $< $@
.SECONDARY: $(GUESTS:.bin=.elf) $(patsubst tests/guest/%.c,$(O)/guest/obj/%.o,\
	$(wildcard tests/guest/payload/*.c))
-include $(wildcard $(O)/guest/obj/*/*.d)
