/* SPDX-License-Identifier: Apache-2.0 */
/*
 * By the bare system calls: the C library has no names for them. Constants are of linux/landlock.h,
 * which distributions that can run this have in several ages.
 */
#include "util/landlock.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "util/bits.h"

#define CREATE_RULESET 444 /* the same on every architecture */
#define ADD_RULE       445
#define RESTRICT_SELF  446

#define RULESET_VERSION	  1u
#define RULE_PATH_BENEATH 1

#define FS_WRITE_FILE  BIT_U64(1)
#define FS_READ_FILE   BIT_U64(2)
#define FS_READ_DIR    BIT_U64(3)
#define FS_REMOVE_FILE BIT_U64(5)
#define FS_MAKE_REG    BIT_U64(8)
#define FS_MAKE_SOCK   BIT_U64(9)
#define FS_MAKE_SYM    BIT_U64(12)
#define FS_REFER       BIT_U64(13)
#define FS_TRUNCATE    BIT_U64(14)
/* Programs are what filters stop: a work queue's process at start is one of ours. */
#define FS_ALL_BUT_EXECUTE 0x1ffeull /* up to MAKE_SYM, which the first version has */
#define FS_OF_FILES	   (FS_WRITE_FILE | FS_READ_FILE | FS_TRUNCATE)

#define NET_TCP		0x3ull /* to bind and to connect */
#define SCOPE_ALL	0x3ull /* abstract sockets and signals */
#define ABI_REFER	2u
#define ABI_TRUNCATE	3u
#define ABI_NET		4u
#define ABI_SCOPE	6u
#define SIZE_OF_FS	8u /* of the structure, as it grew */
#define SIZE_WITH_NET	16u
#define SIZE_WITH_SCOPE 24u

struct ruleset {
	uint64_t fs, net, scope;
};

struct path_beneath {
	uint64_t allowed;
	int32_t parent;
} __attribute__((packed));

unsigned int landlock_abi(struct err *err)
{
	long abi = syscall(CREATE_RULESET, NULL, 0, RULESET_VERSION);

	if (abi > 0)
		return (unsigned int)abi;
	err_set(err, EOPNOTSUPP,
		"this kernel %s: use one with CONFIG_SECURITY_LANDLOCK=y, and with landlock in lsm= of "
		"its command line",
		errno == EOPNOTSUPP ? "has Landlock turned off" : "has no Landlock");
	return 0;
}

int landlock_begin(struct landlock *landlock, struct err *err)
{
	unsigned int abi = landlock_abi(err);
	struct ruleset ruleset = { .fs = FS_ALL_BUT_EXECUTE, .net = NET_TCP, .scope = SCOPE_ALL };
	size_t size = abi >= ABI_SCOPE ? SIZE_WITH_SCOPE
		      : abi >= ABI_NET ? SIZE_WITH_NET
				       : SIZE_OF_FS;

	landlock->fd = -1;
	if (!abi)
		return -EOPNOTSUPP;
	if (abi >= ABI_REFER)
		ruleset.fs |= FS_REFER;
	if (abi >= ABI_TRUNCATE)
		ruleset.fs |= FS_TRUNCATE;
	landlock->handled = ruleset.fs;
	landlock->fd = (int)syscall(CREATE_RULESET, &ruleset, size, 0);
	return landlock->fd < 0 ? err_set(err, errno, "Landlock: %s", strerror(errno)) : 0;
}

static uint64_t access_of(unsigned int what)
{
	uint64_t access = 0;

	if (what & LANDLOCK_READ)
		access |= FS_READ_FILE | FS_READ_DIR;
	if (what & LANDLOCK_WRITE)
		access |= FS_WRITE_FILE | FS_TRUNCATE;
	if (what & LANDLOCK_SOCKET)
		access |= FS_MAKE_SOCK | FS_REMOVE_FILE;
	if (what & LANDLOCK_LINK)
		access |= FS_MAKE_SYM | FS_REMOVE_FILE;
	if (what & LANDLOCK_MAKE)
		access |= FS_MAKE_REG | FS_REMOVE_FILE;
	return access;
}

int landlock_allow(struct landlock *landlock, const char *path, unsigned int what, struct err *err)
{
	struct path_beneath rule = { .allowed = access_of(what) & landlock->handled };
	struct stat st;
	int ret = 0;

	rule.parent = open(path, O_PATH | O_CLOEXEC);
	if (rule.parent < 0)
		return errno == ENOENT || errno == EACCES || errno == ENOTDIR
			       ? 0
			       : err_set(err, errno, "%s: %s", path, strerror(errno));
	/* What only a folder can have is refused for anything else. */
	if (!fstat(rule.parent, &st) && !S_ISDIR(st.st_mode))
		rule.allowed &= FS_OF_FILES;
	if (rule.allowed && syscall(ADD_RULE, landlock->fd, RULE_PATH_BENEATH, &rule, 0))
		ret = err_set(err, errno, "Landlock: allowing %s: %s", path, strerror(errno));
	close(rule.parent);
	return ret;
}

int landlock_enter(struct landlock *landlock, struct err *err)
{
	int ret = 0;

	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) || syscall(RESTRICT_SELF, landlock->fd, 0))
		ret = err_set(err, errno, "Landlock: %s", strerror(errno));
	landlock_drop(landlock);
	return ret;
}

void landlock_drop(struct landlock *landlock)
{
	if (landlock->fd >= 0)
		close(landlock->fd);
	landlock->fd = -1;
}
