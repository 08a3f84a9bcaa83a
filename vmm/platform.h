/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Where things are in every adit machine: ports, fixed addresses, interrupt pins, and the places
 * in low memory that boot uses. The DSDT (vmm/dsdt.asl), the guest payload kit and the loaders
 * all agree through this file; it holds nothing but #define lines so that each can include it.
 */
#ifndef ADIT_VMM_PLATFORM_H
#define ADIT_VMM_PLATFORM_H

/* Ports */
#define PORT_RTC_INDEX	   0x70
#define PORT_RTC_DATA	   0x71
#define PORT_I8042_COMMAND 0x64	 /* 0xfe resets */
#define PORT_DEBUG_EXIT	   0xf4	 /* 4 bytes; optional: 0 ends the VM well, other values badly */
#define PORT_SERIAL	   0x3f8 /* 16550, 8 ports */
#define PORT_SLEEP_CONTROL 0x600 /* ACPI 6.4 section 4.8.3.7 */
#define PORT_SLEEP_STATUS  0x601
#define PORT_RESET	   0x602 /* write RESET_VALUE */
#define RESET_VALUE	   0x01
#define PORT_GED_EVENTS	   0x604 /* 4 bytes, read clears: GED_EVENT_ bits */
#define PORT_HOTPLUG_UP	   0x608 /* 4 bytes, read clears: a bit per slot that appeared */
#define PORT_HOTPLUG_DOWN  0x60c /* 4 bytes, read clears: a bit per slot asked to go */
#define PORT_HOTPLUG_EJECT 0x610 /* 4 bytes, write: a bit per slot that may go */
#define PORT_CF9	   0xcf9 /* reset control: a write with bit 2 set resets */
#define SLEEP_TYPE_S5	   5

#define GED_EVENT_POWER_BUTTON 0x1
#define GED_EVENT_HOTPLUG      0x2

/* I/O APIC pins, which are the GSIs of the ACPI tables */
#define PIN_SERIAL 4
#define PIN_RTC	   8
#define PIN_GED	   9
#define PIN_INTX   16 /* 16 to 19: INTA# of slot s is PIN_INTX + s % 4, level, active low */
#define INTX_PINS  4

/* Fixed addresses. RAM ends below MMIO32_BASE and goes on at 4 GiB. */
#define LOW_RAM_END    0xc0000000
#define MMIO32_BASE    0xc0000000
#define MMIO32_END     0xe0000000
#define ECAM_BASE      0xe0000000 /* bus 0 only: 1 MiB */
#define LAPIC_BASE     0xfee00000
#define IO_WINDOW_BASE 0xc000
#define IO_WINDOW_END  0x10000

/* Low memory at boot */
#define BOOT_GDT	  0x500
#define BOOT_STACK_TOP	  0x6000  /* flat and ELF64 payloads: rsp; 0x1000 to here is free */
#define BOOT_START_INFO	  0x6000  /* struct hvm_start_info, module list, memory map */
#define BOOT_ZERO_PAGE	  0x7000  /* struct boot_params */
#define BOOT_PML4	  0x9000  /* PML4, PDPT and four page directories: 4 GiB in 2 MiB pages */
#define BOOT_CMDLINE	  0x10000 /* at most BOOT_CMDLINE_MAX bytes with the final NUL */
#define BOOT_CMDLINE_MAX  0x10000
#define BOOT_RAM_END	  0x9fc00 /* conventional memory ends; what follows is reserved */
#define ACPI_TABLES	  0xe0000 /* RSDP first; up to 1 MiB */
#define ACPI_TABLES_END	  0xff000
#define BOOT_RESET_VECTOR 0xffff0  /* f000:fff0, where real-mode code of the guest goes to reset */
#define HIGH_RAM_BASE	  0x100000 /* where kernels are loaded */

#endif
