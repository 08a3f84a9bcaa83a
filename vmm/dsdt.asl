/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The machine as ACPI describes it: what is fixed is here, what a configuration decides (the PCI
 * windows, the ECAM) are integers of an SSDT that vmm/acpi.c makes. One file, for AML is one tree.
 *
 * Goes through cpp first, so that ports and pins come from platform.h.
 * Source: ACPI 6.4; PCI Firmware 3.3 section 4.5 (_OSC).
 */
#include "vmm/platform.h"

DefinitionBlock ("", "DSDT", 2, "ADIT", "ADITDSDT", 1)
{
	External (\M32B, IntObj) /* 32-bit window: base and size in bytes; size 0: none */
	External (\M32S, IntObj)
	External (\M64B, IntObj)
	External (\M64S, IntObj)
	External (\PIOB, IntObj)
	External (\PIOS, IntObj)
	External (\ECMB, IntObj) /* ECAM: base and size */
	External (\ECMS, IntObj)

	Name (\_S5, Package () { SLEEP_TYPE_S5, 0, 0, 0 })

	/* vmm/power.c. Reading an event register clears it. */
	OperationRegion (\EVTR, SystemIO, PORT_GED_EVENTS, 0x10)
	Field (\EVTR, DWordAcc, NoLock, WriteAsZeros)
	{
		EVTS, 32,
		HPUP, 32,
		HPDN, 32,
		HPEJ, 32
	}

	Scope (\_SB)
	{
		Device (PWRB)
		{
			Name (_HID, EisaId ("PNP0C0C"))
			Name (_UID, 0)
		}

		Device (COM1)
		{
			Name (_HID, EisaId ("PNP0501"))
			Name (_UID, 0)
			Name (_CRS, ResourceTemplate ()
			{
				IO (Decode16, PORT_SERIAL, PORT_SERIAL, 0, 8)
				IRQ (Edge, ActiveHigh, Exclusive) { PIN_SERIAL }
			})
		}

		/* No interrupt: vmm/rtc.c has none. */
		Device (RTC)
		{
			Name (_HID, EisaId ("PNP0B00"))
			Name (_CRS, ResourceTemplate ()
			{
				IO (Decode16, PORT_RTC_INDEX, PORT_RTC_INDEX, 0, 2)
			})
		}

		/* Linux uses the ECAM only where a motherboard resource reserves it. */
		Device (MBRD)
		{
			Name (_HID, EisaId ("PNP0C02"))
			Name (_UID, 0)
			Name (RBUF, ResourceTemplate ()
			{
				Memory32Fixed (ReadWrite, 0, 0, ECAM)
				IO (Decode16, PORT_SLEEP_CONTROL, PORT_SLEEP_CONTROL, 0, 0x14)
			})
			Method (_CRS, 0, Serialized)
			{
				CreateDWordField (RBUF, \_SB.MBRD.ECAM._BAS, BASE)
				CreateDWordField (RBUF, \_SB.MBRD.ECAM._LEN, SIZE)
				BASE = \ECMB
				SIZE = \ECMS
				Return (RBUF)
			}
		}
	}

	Device (\_SB.PCI0)
	{
		Name (_HID, EisaId ("PNP0A08"))
		Name (_CID, EisaId ("PNP0A03"))
		Name (_UID, 0)
		Name (_SEG, 0)
		Name (_BBN, 0)

		/* The PCI Express capability structures are the guest's; hot plug is ACPI's. */
		Method (_OSC, 4, Serialized)
		{
			CreateDWordField (Arg3, 0, CDW1)
			If (Arg0 != ToUUID ("33db4d5b-1ff7-401c-9657-7441c03dd766") || Arg2 < 3)
			{
				CDW1 |= 0x04
				Return (Arg3)
			}
			CreateDWordField (Arg3, 8, CDW3)
			If (Arg1 != 1)
			{
				CDW1 |= 0x08
			}
			Local0 = CDW3 & 0x10
			If (Local0 != CDW3)
			{
				CDW1 |= 0x10
				CDW3 = Local0
			}
			Return (Arg3)
		}

		Name (BUSR, ResourceTemplate ()
		{
			WordBusNumber (ResourceProducer, MinFixed, MaxFixed, PosDecode,
				0, 0, 0, 0, 1)
		})
		Name (M32R, ResourceTemplate ()
		{
			QWordMemory (ResourceProducer, PosDecode, MinFixed, MaxFixed, NonCacheable,
				ReadWrite, 0, 0, 0xfff, 0, 0x1000, , , LWIN)
		})
		/* Not marked prefetchable: that would keep other 64-bit BARs out of it. */
		Name (M64R, ResourceTemplate ()
		{
			QWordMemory (ResourceProducer, PosDecode, MinFixed, MaxFixed, NonCacheable,
				ReadWrite, 0, 0, 0xfff, 0, 0x1000, , , HWIN)
		})
		Name (PIOR, ResourceTemplate ()
		{
			DWordIO (ResourceProducer, MinFixed, MaxFixed, PosDecode, EntireRange,
				0, 0, 0xfff, 0, 0x1000, , , PWIN)
		})
		Method (_CRS, 0, Serialized)
		{
			CreateQWordField (M32R, \_SB.PCI0.LWIN._MIN, LMIN)
			CreateQWordField (M32R, \_SB.PCI0.LWIN._MAX, LMAX)
			CreateQWordField (M32R, \_SB.PCI0.LWIN._LEN, LLEN)
			CreateQWordField (M64R, \_SB.PCI0.HWIN._MIN, HMIN)
			CreateQWordField (M64R, \_SB.PCI0.HWIN._MAX, HMAX)
			CreateQWordField (M64R, \_SB.PCI0.HWIN._LEN, HLEN)
			CreateDWordField (PIOR, \_SB.PCI0.PWIN._MIN, PMIN)
			CreateDWordField (PIOR, \_SB.PCI0.PWIN._MAX, PMAX)
			CreateDWordField (PIOR, \_SB.PCI0.PWIN._LEN, PLEN)

			Local0 = BUSR
			If (\PIOS)
			{
				PMIN = \PIOB
				PMAX = \PIOB + \PIOS - 1
				PLEN = \PIOS
				ConcatenateResTemplate (Local0, PIOR, Local1)
				Local0 = Local1
			}
			If (\M32S)
			{
				LMIN = \M32B
				LMAX = \M32B + \M32S - 1
				LLEN = \M32S
				ConcatenateResTemplate (Local0, M32R, Local1)
				Local0 = Local1
			}
			If (\M64S)
			{
				HMIN = \M64B
				HMAX = \M64B + \M64S - 1
				HLEN = \M64S
				ConcatenateResTemplate (Local0, M64R, Local1)
				Local0 = Local1
			}
			Return (Local0)
		}

		/* INTA# to INTD# of each slot, one step on per slot and per pin: level, active low. */
#define PIN(slot, pin) \
		Package () { slot << 16 | 0xffff, pin, 0, PIN_INTX + (slot + pin) % INTX_PINS }
#define SLOT(slot) PIN (slot, 0), PIN (slot, 1), PIN (slot, 2), PIN (slot, 3)
		Name (_PRT, Package ()
		{
			SLOT (0), SLOT (1), SLOT (2), SLOT (3), SLOT (4), SLOT (5), SLOT (6),
			SLOT (7), SLOT (8), SLOT (9), SLOT (10), SLOT (11), SLOT (12), SLOT (13),
			SLOT (14), SLOT (15), SLOT (16), SLOT (17), SLOT (18), SLOT (19),
			SLOT (20), SLOT (21), SLOT (22), SLOT (23), SLOT (24), SLOT (25),
			SLOT (26), SLOT (27), SLOT (28), SLOT (29), SLOT (30), SLOT (31)
		})
#undef SLOT

		/* Slot 0 is the host bridge: it stays. */
#define SLOT(name, slot) \
		Device (name) \
		{ \
			Name (_ADR, slot << 16) \
			Name (_SUN, slot) \
			Method (_EJ0, 1) { \HPEJ = 1 << slot } \
		}
		SLOT (S01, 1)
		SLOT (S02, 2)
		SLOT (S03, 3)
		SLOT (S04, 4)
		SLOT (S05, 5)
		SLOT (S06, 6)
		SLOT (S07, 7)
		SLOT (S08, 8)
		SLOT (S09, 9)
		SLOT (S0A, 10)
		SLOT (S0B, 11)
		SLOT (S0C, 12)
		SLOT (S0D, 13)
		SLOT (S0E, 14)
		SLOT (S0F, 15)
		SLOT (S10, 16)
		SLOT (S11, 17)
		SLOT (S12, 18)
		SLOT (S13, 19)
		SLOT (S14, 20)
		SLOT (S15, 21)
		SLOT (S16, 22)
		SLOT (S17, 23)
		SLOT (S18, 24)
		SLOT (S19, 25)
		SLOT (S1A, 26)
		SLOT (S1B, 27)
		SLOT (S1C, 28)
		SLOT (S1D, 29)
		SLOT (S1E, 30)
		SLOT (S1F, 31)
#undef SLOT

		/* Up: look for the device (ACPI 6.4 table 5.187: 1). Down: the guest ejects it (3). */
#define SLOT(name, slot) \
		If (Local0 & 1 << slot) { Notify (name, 1) } \
		If (Local1 & 1 << slot) { Notify (name, 3) }
		Method (HPEV, 0, Serialized)
		{
			Local0 = \HPUP
			Local1 = \HPDN
			SLOT (S01, 1)
			SLOT (S02, 2)
			SLOT (S03, 3)
			SLOT (S04, 4)
			SLOT (S05, 5)
			SLOT (S06, 6)
			SLOT (S07, 7)
			SLOT (S08, 8)
			SLOT (S09, 9)
			SLOT (S0A, 10)
			SLOT (S0B, 11)
			SLOT (S0C, 12)
			SLOT (S0D, 13)
			SLOT (S0E, 14)
			SLOT (S0F, 15)
			SLOT (S10, 16)
			SLOT (S11, 17)
			SLOT (S12, 18)
			SLOT (S13, 19)
			SLOT (S14, 20)
			SLOT (S15, 21)
			SLOT (S16, 22)
			SLOT (S17, 23)
			SLOT (S18, 24)
			SLOT (S19, 25)
			SLOT (S1A, 26)
			SLOT (S1B, 27)
			SLOT (S1C, 28)
			SLOT (S1D, 29)
			SLOT (S1E, 30)
			SLOT (S1F, 31)
		}
	}

	/* Generic event device: ACPI 6.4 section 5.6.9 */
	Device (\_SB.GED)
	{
		Name (_HID, "ACPI0013")
		Name (_UID, 0)
		Name (_CRS, ResourceTemplate ()
		{
			Interrupt (ResourceConsumer, Edge, ActiveHigh, Exclusive) { PIN_GED }
		})
		Method (_EVT, 1, Serialized)
		{
			Local0 = \EVTS
			If (Local0 & GED_EVENT_POWER_BUTTON)
			{
				Notify (\_SB.PWRB, 0x80)
			}
			If (Local0 & GED_EVENT_HOTPLUG)
			{
				\_SB.PCI0.HPEV ()
			}
		}
	}
}
