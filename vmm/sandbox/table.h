/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The one table of what each thread may ask the kernel for, and why. The filters that adit carries
 * and the list in docs/sandbox.md are both made from it, at build time, by generate.c; nothing else
 * says what is allowed.
 *
 * A filter passes from a thread to those that it starts and can only become narrower; so what a
 * thread's children need it may ask for itself (generate.c adds it).
 */
#ifndef ADIT_VMM_SANDBOX_TABLE_H
#define ADIT_VMM_SANDBOX_TABLE_H

#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <linux/futex.h>
#include <linux/if_tun.h>
#include <linux/kvm.h>
#include <linux/seccomp.h>
#include <linux/vfio.h>
#include <linux/vhost.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <termios.h>

#include "ioasid-client/providers/iommufd-uapi.h"
#include "util/sandbox.h"

/* The columns of the table. */
#define LIFE	 (1u << SANDBOX_LIFE)
#define LOOP	 (1u << SANDBOX_LOOP)
#define VSOCK	 (1u << SANDBOX_VSOCK)
#define VCPU	 (1u << SANDBOX_VCPU)
#define ENGINE	 (1u << SANDBOX_ENGINE)
#define RECEIVER (1u << SANDBOX_RECEIVER)
#define API	 (1u << SANDBOX_API)
#define MEMORY	 (1u << SANDBOX_MEMORY)
#define SERVER	 (1u << SANDBOX_SERVER)
#define SEAT	 (1u << SANDBOX_SEAT)
#define OWNER	 (1u << SANDBOX_OWNER)
#define TENANT	 (1u << SANDBOX_TENANT)
#define FUNCTION (1u << SANDBOX_FUNCTION)
#define STARTER	 (1u << SANDBOX_STARTER)
#define QUEUE	 (1u << SANDBOX_QUEUE)
#define ALL	 ((1u << SANDBOX_ROLES) - 1)
#define GUEST	 (LOOP | VCPU)		     /* they carry out what the guest asks of its devices */
#define LENT	 (OWNER | TENANT | FUNCTION) /* they reach the function that is lent */

struct sandbox_row {
	unsigned int roles;
	const char *name;
	int call;
	/* Allowed where (argument & mask) == value; mask 0: whatever it is. */
	unsigned int argument;
	uint64_t mask, value;
	const char *condition; /* the same for people; NULL without one */
	int error;	       /* not allowed, but answered with this: who asks can go on */
	const char *reason;
	bool own; /* and only where argument 0 is this process */
};

#define CALL(roles, name, reason)                                         \
	{                                                                 \
		roles, #name, SYS_##name, 0, 0, 0, NULL, 0, reason, false \
	}
#define ONLY(roles, name, argument, mask, value, condition, reason)                          \
	{                                                                                    \
		roles, #name, SYS_##name, argument, mask, value, condition, 0, reason, false \
	}
/* A signal to this process. */
#define OWN(roles, name, argument, signal, condition, reason)                                    \
	{                                                                                        \
		roles, #name, SYS_##name, argument, WORD, signal, condition ", this process", 0, \
			reason, true                                                             \
	}
#define REFUSE(roles, name, argument, mask, value, condition, error, reason)      \
	{                                                                         \
		roles, #name, SYS_##name, argument, mask, value,                  \
			condition ", answered with " #error, error, reason, false \
	}
/* The kernel looks at the low 32 bits of these. */
#define WORD 0xffffffffu
#define IOCTL(roles, request, reason) \
	ONLY(roles, ioctl, 1, WORD, (uint32_t)(request), #request, reason)
#define FCNTL(roles, command, reason) ONLY(roles, fcntl, 1, WORD, command, #command, reason)

#define FORK_FLAGS   (CLONE_CHILD_CLEARTID | CLONE_CHILD_SETTID | SIGCHLD) /* the C library's */
#define THREAD_FLAGS (CLONE_VM | CLONE_FS | CLONE_FILES | CLONE_SIGHAND | CLONE_THREAD)

static const struct sandbox_row sandbox_rows[] = {
	/* First of all, for it is asked for most. */
	IOCTL(VCPU, KVM_RUN, "running the guest"),

	/* --- what the C library does in any thread --- */
	CALL(ALL, futex, "locks and conditions"),
	CALL(ALL, read, "eventfds, files and sockets that are open"),
	CALL(ALL, write, "log lines, eventfds, files and sockets that are open"),
	CALL(ALL, close, "descriptors that are done with"),
	CALL(ALL, poll, "whether the log takes a line; whether an eventfd counts"),
	ONLY(ALL, mmap, 2, PROT_EXEC, 0, "never executable", "memory, and BARs of devices"),
	CALL(ALL, munmap, "memory that is given back"),
	ONLY(ALL, mprotect, 2, PROT_EXEC, 0, "never executable", "stacks of threads"),
	CALL(ALL, mremap, "realloc of large pieces"),
	CALL(ALL, brk, "the heap"),
	/* Not 100 and 101, by which root takes pages of the host's memory out of service. */
	ONLY(ALL, madvise, 2, WORD & ~31u, 0, "below 32",
	     "stacks of ended threads, the balloon, guest memory"),
	ONLY(ALL, madvise, 2, WORD & ~1u, 102, "102 and 103, guard pages",
	     "stacks of threads, by newer C libraries"),
	CALL(ALL, rt_sigprocmask, "starting and ending threads"),
	CALL(ALL, rt_sigreturn, "the end of a signal's handler"),
	CALL(ALL, restart_syscall, "the kernel goes on with a wait that a signal cut"),
	CALL(ALL, sched_yield, "waiting for a reader's section"),
	CALL(ALL, clock_gettime, "clocks, on hosts whose vDSO cannot"),
	CALL(ALL, clock_nanosleep, "waiting for a device, with an end"),
	CALL(ALL, getrandom, "the allocator's keys; virtio-rng; MAC addresses"),
	CALL(ALL, getpid, "signals to threads of this process"),
	CALL(ALL, gettid, "the same"),
	OWN(ALL, tgkill, 2, SIGABRT, "SIGABRT", "abort(3)"),
	ONLY(ALL, rt_sigaction, 0, WORD, SIGABRT, "SIGABRT", "abort(3)"),
	CALL(ALL, exit, "the end of a thread"),
	CALL(ALL, exit_group, "the end of the process"),

	/* --- threads --- */
	ONLY(LIFE | VCPU | SEAT, clone, 0, THREAD_FLAGS, THREAD_FLAGS, "threads of this process",
	     "vCPUs, the loop; engines are started when a guest enables the first queue"),
	REFUSE(LIFE | LOOP | VCPU | API | MEMORY | SEAT, clone, 0, CLONE_THREAD, 0,
	       "other processes", EPERM,
	       "helpers of host work queues are started by another process"),
	REFUSE(LIFE | LOOP | VCPU | API | MEMORY | SEAT, clone3, 0, 0, 0, "whatever", ENOSYS,
	       "its flags are in memory, which no filter sees: the C library then uses clone"),
	REFUSE(LOOP | MEMORY, clone, 0, THREAD_FLAGS, THREAD_FLAGS, "threads of this process",
	       EPERM, "large blocks and BARs are mapped by one thread"),
	ONLY(STARTER, clone, 0, WORD, FORK_FLAGS, "fork",
	     "a helper, which begins in the filter of who starts it"),
	CALL(LIFE | VCPU | SEAT | STARTER, set_robust_list, "a new thread's first call"),
	CALL(LIFE | VCPU | SEAT, rseq, "a new thread's second"),
	ONLY(LIFE | VCPU | SEAT | STARTER, prctl, 0, WORD, PR_SET_NAME, "PR_SET_NAME",
	     "a thread's name"),
	ONLY(LIFE | VCPU | SEAT | STARTER, seccomp, 0, WORD, SECCOMP_SET_MODE_FILTER,
	     "SECCOMP_SET_MODE_FILTER", "threads that are started narrow what they may do"),
	ONLY(VCPU | ENGINE | SEAT | FUNCTION, rt_sigaction, 0, WORD, SIGBUS, "SIGBUS",
	     "memory that a file has not got ends a descriptor, not the VM"),
	ONLY(LIFE | VCPU, rt_sigaction, 0, WORD, 33, "33, the C library's own",
	     "the first thread that a process starts"),
	ONLY(LIFE, rt_sigaction, 0, WORD, 34, "SIGRTMIN", "a vCPU thread takes kicks"),
	OWN(LIFE | LOOP | VCPU | API, tgkill, 2, 34, "SIGRTMIN", "kicking vCPUs out of the guest"),

	/* --- the event loops --- */
	CALL(LIFE | LOOP | API, io_uring_enter,
	     "the loop, and a disk's ring; what rings may do was fixed when they were made"),
	CALL(LIFE, io_uring_setup, "the next machine's rings"),
	CALL(LIFE, io_uring_register, "what they may do"),
	CALL(LIFE, sched_getaffinity, "whether the next machine's loop has a CPU to look on"),
	CALL(SERVER, rt_sigtimedwait, "the signal that ends a server"),
	CALL(LIFE | GUEST | API, eventfd2, "doorbells and interrupts"),

	/* --- sockets --- */
	CALL(LIFE | LOOP | API | SEAT, accept4,
	     "clients of the API, of a serial socket, of vsock, of an ADI"),
	ONLY(LIFE | VSOCK, socket, 0, WORD, AF_UNIX, "AF_UNIX",
	     "vsock: a guest's connection to a port becomes one to a socket's path"),
	CALL(LIFE | VSOCK, connect, "the same"),
	CALL(LIFE, bind, "sockets of the serial line and vsock"),
	CALL(LIFE, listen, "the same"),
	CALL(LIFE, flock, "of two who want a socket's path at once, one has it"),
	CALL(LIFE, setsockopt, "time limits of vfio-user"),
	CALL(LIFE | LOOP | API | SEAT, getsockopt,
	     "who a peer is; whether a connection came about"),
	CALL(LIFE | GUEST | RECEIVER | API | SERVER | SEAT, shutdown, "ending connections"),
	CALL(STARTER, socketpair, "between a helper and the VM"),
	CALL(LIFE | GUEST | ENGINE | RECEIVER | API | SEAT | FUNCTION | STARTER, sendmsg,
	     "vfio-user; a helper that was started"),
	CALL(LIFE | GUEST | RECEIVER | API | SEAT | STARTER, recvmsg,
	     "vfio-user; the keeper; a helper's memory"),
	CALL(LIFE | GUEST | ENGINE | API | QUEUE, sendto, "clients; a work queue's helper"),
	CALL(LIFE | GUEST | ENGINE | API | STARTER | QUEUE, recvfrom, "the same"),
	CALL(LIFE | API, geteuid, "whether a peer is welcome"),

	/* --- files --- */
	CALL(LIFE, openat, "the next machine's nodes, images and payload"),
	ONLY(STARTER, openat, 2, WORD, O_RDWR | O_CLOEXEC, "O_RDWR, and nothing is made",
	     "a helper's queue"),
	CALL(STARTER, dup3, "a helper has its socket and the log alone"),
	CALL(STARTER, close_range, "the same"),
	CALL(STARTER, pidfd_open, "the VM can end a helper, and nobody else"),
	REFUSE(MEMORY, openat, 0, 0, 0, "whatever", EACCES,
	       "why memory cannot be locked is said without /proc/self/status"),
	REFUSE(VCPU | TENANT, openat, 2, WORD, O_RDONLY | O_CLOEXEC, "for reading", EACCES,
	       "why devices do not reach memory is said without /proc/self/status"),
	CALL(LIFE | LOOP | API | SERVER | SEAT, newfstatat, "sizes of images; what a path is"),
	CALL(LIFE | LOOP | API | SEAT, fstat, "the same, by newer C libraries"),
	CALL(LIFE, statx, "what direct I/O on an image wants"),
	CALL(LIFE, lseek, "files read through stdio"),
	CALL(LIFE | GUEST | API | LENT, pread64,
	     "registers of VFIO devices; /proc/self/status for metrics"),
	CALL(LIFE | GUEST | LENT, pwrite64, "the same"),
	CALL(LIFE | LOOP, readv, "frames"),
	CALL(LIFE | LOOP, writev, "frames"),
	CALL(LIFE | API, ftruncate, "guest memory; vm.resize-disk"),
	CALL(LIFE, memfd_create, "guest memory"),
	CALL(LIFE | MEMORY, mincore, "pages of guest memory that are there are left alone"),
	CALL(LIFE, fsync, "a snapshot is on the disk before it is called one"),
	CALL(LIFE | SERVER, unlink, "sockets and links that were made here"),
	CALL(LIFE, symlink, "the serial line's link to its terminal"),
	CALL(LIFE | SEAT, readlink, "sysfs; what a client's descriptor is"),
	CALL(LIFE, getdents64, "sysfs"),
	CALL(LIFE, access, "sysfs"),
	CALL(LIFE, getcwd, "paths in sentences"),
	CALL(LIFE, uname, "whether the kernel judges groups by their container"),
	CALL(LIFE, fchmod, "modes of sockets"),
	CALL(LIFE, inotify_init1, "who opens the serial line's terminal"),
	CALL(LIFE, inotify_add_watch, "the same"),
	ONLY(LIFE | VCPU | MEMORY | TENANT, prlimit64, 2, UINT64_MAX, 0, "no new limits",
	     "how much memory may be locked"),
	ONLY(LIFE, setpriority, 2, WORD, SANDBOX_NICE, "19, the lowest",
	     "threads that make pages beside the guest give way to it"),
	CALL(LIFE, wait4, "who starts helpers has ended"),
	ONLY(LIFE | API, pidfd_send_signal, 1, WORD, SIGKILL, "SIGKILL",
	     "a helper ends when its PASID is unbound: by a descriptor of it, and none of another is made"),
	OWN(SERVER, kill, 1, SIGTERM, "SIGTERM", "a socket that fails ends its server"),
	ONLY(LIFE, kill, 1, WORD, 0, "0", "whether the process that a socket is of is there"),
	FCNTL(LIFE, F_DUPFD_CLOEXEC, "descriptors that were handed over"),
	FCNTL(LIFE, F_GETFD, "the same"),
	FCNTL(LIFE, F_SETFD, "the same"),
	FCNTL(LIFE | SEAT, F_GETFL, "stdio; non-blocking descriptors"),
	FCNTL(LIFE | SEAT, F_SETFL, "non-blocking descriptors"),
	FCNTL(LIFE, F_ADD_SEALS, "guest memory keeps its size"),
	FCNTL(LIFE | SEAT, F_GET_SEALS, "whether memory of vfio-user's other side does"),
	FCNTL(LIFE | LOOP, F_OFD_SETLK, "an image belongs to one VM"),

	/* --- terminals, taps, block devices --- */
	IOCTL(LIFE, TCGETS, "whether a descriptor is a terminal"),
	IOCTL(LIFE, TCSETS, "the serial line's terminal is raw, and was not before"),
	IOCTL(LIFE, TIOCGPTN, "the name of a pseudo-terminal"),
	IOCTL(LIFE, TIOCSPTLCK, "opening its other side"),
	IOCTL(LIFE, TUNSETIFF, "taps"),
	IOCTL(LIFE, TUNGETIFF, "taps"),
	IOCTL(LIFE, TUNSETVNETHDRSZ, "taps"),
	IOCTL(LIFE | GUEST, TUNSETOFFLOAD, "offloads are what the guest's driver takes"),
	IOCTL(LIFE | GUEST, TUNSETQUEUE, "queues are as many as the guest's driver wants"),
	IOCTL(LIFE | LOOP | API, BLKGETSIZE64, "the size of a block device"),
	IOCTL(LIFE, BLKSSZGET, "its blocks"),
	IOCTL(LIFE, BLKPBSZGET, "its blocks"),
	IOCTL(LIFE, BLKIOMIN, "its blocks"),
	IOCTL(LIFE, BLKIOOPT, "its blocks"),
	IOCTL(LIFE, BLKALIGNOFF, "its blocks"),

	IOCTL(LIFE, VHOST_SET_OWNER, "vhost-net"),
	IOCTL(LIFE, VHOST_GET_FEATURES, "vhost-net"),
	IOCTL(LIFE | MEMORY, VHOST_SET_MEM_TABLE, "vhost-net: where guest memory is"),
	IOCTL(LOOP, VHOST_SET_FEATURES, "vhost-net: what the guest's driver takes"),
	IOCTL(LOOP, VHOST_SET_VRING_NUM, "vhost-net: a queue is the kernel's"),
	IOCTL(LOOP, VHOST_SET_VRING_BASE, "the same"),
	IOCTL(LOOP, VHOST_SET_VRING_ADDR, "the same"),
	IOCTL(LOOP, VHOST_SET_VRING_CALL, "the same"),
	IOCTL(LOOP, VHOST_SET_VRING_ERR, "the same"),
	IOCTL(LOOP | API, VHOST_SET_VRING_KICK, "the same; or ours again, while paused too"),
	IOCTL(LOOP | API, VHOST_NET_SET_BACKEND, "the same"),
	IOCTL(LOOP | API, VHOST_GET_VRING_BASE, "the same"),

	/* --- KVM --- */
	IOCTL(LIFE, KVM_GET_API_VERSION, "making a VM"),
	IOCTL(LIFE, KVM_CHECK_EXTENSION, "making a VM"),
	IOCTL(LIFE, KVM_CREATE_VM, "making a VM"),
	IOCTL(LIFE, KVM_GET_VCPU_MMAP_SIZE, "making a VM"),
	IOCTL(LIFE, KVM_GET_SUPPORTED_CPUID, "making a VM"),
	IOCTL(LIFE, KVM_ENABLE_CAP, "making a VM"),
	IOCTL(LIFE, KVM_CREATE_VCPU, "making vCPUs"),
	IOCTL(LIFE, KVM_SET_CPUID2, "making vCPUs"),
	IOCTL(LIFE, KVM_SET_MP_STATE, "making vCPUs"),
	IOCTL(LIFE, KVM_SET_MSRS, "making vCPUs"),
	IOCTL(LIFE, KVM_GET_MP_STATE, "saving vCPUs"),
	IOCTL(LIFE, KVM_GET_MSR_INDEX_LIST, "saving vCPUs"),
	IOCTL(LIFE, KVM_GET_TSC_KHZ, "saving vCPUs"),
	IOCTL(LIFE, KVM_GET_LAPIC, "saving vCPUs"),
	IOCTL(LIFE, KVM_GET_XCRS, "saving vCPUs"),
	IOCTL(LIFE, KVM_GET_DEBUGREGS, "saving vCPUs"),
	IOCTL(LIFE, KVM_GET_CLOCK, "saving a VM"),
	IOCTL(LIFE, KVM_SET_TSC_KHZ, "making vCPUs from saved ones"),
	IOCTL(LIFE, KVM_SET_LAPIC, "the same"),
	IOCTL(LIFE, KVM_SET_XSAVE, "the same"),
	IOCTL(LIFE, KVM_SET_XCRS, "the same"),
	IOCTL(LIFE, KVM_SET_DEBUGREGS, "the same"),
	IOCTL(LIFE, KVM_KVMCLOCK_CTRL, "the same"),
	IOCTL(LIFE, KVM_SET_CLOCK, "making a VM from a saved one"),
	IOCTL(LIFE | VCPU, KVM_SET_SREGS,
	      "the boot processor; a page fault that a 64-byte store meets"),
	IOCTL(LIFE | VCPU, KVM_SET_REGS, "the boot processor; after a 64-byte store"),
	IOCTL(LIFE, KVM_CREATE_DEVICE, "telling KVM of VFIO devices"),
	IOCTL(LIFE, KVM_SET_DEVICE_ATTR, "telling KVM of VFIO devices, and that they are gone"),
	IOCTL(LIFE, KVM_GET_DIRTY_LOG, "dirty logs"),
	IOCTL(LIFE | GUEST | MEMORY, KVM_SET_USER_MEMORY_REGION,
	      "BARs that the guest moves; memory that is plugged"),
	IOCTL(LIFE | GUEST, KVM_IOEVENTFD, "doorbells that the guest moves"),
	IOCTL(LIFE | GUEST | API, KVM_IRQFD, "vectors that the guest masks and unmasks"),
	IOCTL(LIFE | GUEST | API, KVM_SET_GSI_ROUTING, "vectors that the guest writes"),
	IOCTL(LIFE | GUEST | ENGINE | API, KVM_SIGNAL_MSI, "interrupts"),
	IOCTL(LIFE | VCPU, KVM_GET_REGS, "a 64-byte store; the report of a failure"),
	IOCTL(LIFE | VCPU, KVM_GET_SREGS, "the same"),
	IOCTL(LIFE | VCPU, KVM_GET_MSRS, "the same; saving vCPUs"),
	IOCTL(LIFE | VCPU, KVM_GET_XSAVE, "the same: protection keys; saving vCPUs"),
	IOCTL(LIFE | VCPU, KVM_GET_VCPU_EVENTS,
	      "a 64-byte store that ends in an exception; a failure that is none; saving vCPUs"),
	IOCTL(LIFE | VCPU, KVM_SET_VCPU_EVENTS,
	      "a 64-byte store that ends in an exception; making vCPUs from saved ones"),
	IOCTL(VCPU, KVM_TRANSLATE, "the report of a failure"),

	/* --- VFIO and iommufd --- */
	IOCTL(LIFE, VFIO_GET_API_VERSION, "opening devices"),
	IOCTL(LIFE, VFIO_CHECK_EXTENSION, "opening devices"),
	IOCTL(LIFE, VFIO_SET_IOMMU, "opening devices"),
	IOCTL(LIFE, VFIO_GROUP_GET_STATUS, "opening devices"),
	IOCTL(LIFE, VFIO_GROUP_SET_CONTAINER, "opening devices"),
	IOCTL(LIFE, VFIO_GROUP_UNSET_CONTAINER, "devices that come and go"),
	IOCTL(LIFE, VFIO_GROUP_GET_DEVICE_FD, "opening devices"),
	IOCTL(LIFE, VFIO_DEVICE_GET_INFO, "opening devices"),
	IOCTL(LIFE, VFIO_DEVICE_GET_REGION_INFO, "opening devices"),
	IOCTL(LIFE, VFIO_DEVICE_GET_IRQ_INFO, "opening devices"),
	IOCTL(LIFE | GUEST | LENT, VFIO_DEVICE_SET_IRQS,
	      "vectors that the guest enables; the one of a function that is lent"),
	IOCTL(LIFE, VFIO_DEVICE_RESET,
	      "opening devices; one that does not go on after it was saved"),
	IOCTL(GUEST | LENT, VFIO_DEVICE_RESET,
	      "resets that the guest asks for; of a function that is lent, where it halts or ends"),
	IOCTL(LIFE | GUEST, VFIO_DEVICE_GET_PCI_HOT_RESET_INFO, "the same, by the bus"),
	IOCTL(LIFE | GUEST, VFIO_DEVICE_PCI_HOT_RESET, "the same"),
	IOCTL(LIFE | GUEST, VFIO_DEVICE_IOEVENTFD, "doorbells that the guest moves"),
	IOCTL(LIFE, VFIO_DEVICE_FEATURE,
	      "BARs as dma-bufs, for DMA of other devices; devices that are saved"),
	IOCTL(LIFE, VFIO_IOMMU_GET_INFO, "spaces of a container"),
	IOCTL(LIFE | MEMORY, VFIO_IOMMU_MAP_DMA, "guest memory and BARs"),
	IOCTL(LIFE | MEMORY, VFIO_IOMMU_UNMAP_DMA, "devices that come and go"),
	IOCTL(LIFE, VFIO_CDEV_BIND, "opening devices"),
	IOCTL(LIFE | OWNER, VFIO_CDEV_ATTACH,
	      "devices that come and go; PASIDs that the kernel does not detach"),
	IOCTL(LIFE | OWNER | TENANT, VFIO_CDEV_DETACH,
	      "devices that come and go; PASIDs of a function that is lent"),
	IOCTL(LIFE, IFD_GET_HW_INFO, "opening devices"),
	IOCTL(LIFE, IFD_OPTION, "opening devices"),
	IOCTL(LIFE | OWNER | TENANT, IFD_DESTROY, "the same"),
	IOCTL(LIFE, IFD_IOAS_ALLOC, "devices that come and go"),
	IOCTL(LIFE | OWNER, IFD_HWPT_ALLOC,
	      "devices that come and go; PASIDs that the kernel does not detach"),
	IOCTL(LIFE, IFD_FAULT_QUEUE_ALLOC, "page requests"),
	IOCTL(LIFE, IFD_IOAS_IOVA_RANGES, "spaces"),
	IOCTL(LIFE | MEMORY | TENANT, IFD_IOAS_MAP, "guest memory and BARs"),
	IOCTL(LIFE | GUEST | MEMORY, IFD_IOAS_MAP_FILE, "the same; BARs that the guest moves"),
	IOCTL(LIFE | GUEST | MEMORY | OWNER | TENANT, IFD_IOAS_UNMAP,
	      "BARs that the guest moves; devices that come and go"),
	IOCTL(LIFE, IFD_IOAS_COPY, "the same"),
	IOCTL(LIFE, IFD_HWPT_INVALIDATE, "nested spaces"),
	IOCTL(LIFE, IFD_HWPT_SET_DIRTY, "dirty logs"),
	IOCTL(LIFE, IFD_HWPT_GET_DIRTY, "dirty logs"),
};

#endif
