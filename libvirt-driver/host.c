/* SPDX-License-Identifier: Apache-2.0 */
/* Capabilities are what definition-rules.c takes; a row there is a word here. */
#include "libvirt-driver/host.h"

#include <stdio.h>
#include <string.h>
#include <sys/sysinfo.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "util/bits.h"

static int32_t read_mhz(void)
{
	FILE *file = fopen("/proc/cpuinfo", "re");
	char line[256];
	double mhz = 0;

	while (file && mhz == 0 && fgets(line, sizeof(line), file)) {
		if (sscanf(line, "cpu MHz : %lf", &mhz) != 1)
			mhz = 0;
	}
	if (file)
		fclose(file);
	return mhz > 0 && mhz < INT32_MAX ? (int32_t)mhz : 0;
}

/* The topology is told flat: one node, one socket; adit places nothing by it. */
void host_info(struct host_info *info)
{
	struct utsname name;
	struct sysinfo memory;

	*info = (struct host_info){ .nodes = 1, .sockets = 1, .threads = 1 };
	if (!uname(&name))
		snprintf(info->model, sizeof(info->model), "%.31s", name.machine);
	if (!sysinfo(&memory))
		info->memory_kib = memory.totalram * memory.mem_unit / KIB;
	info->cpus = (int32_t)sysconf(_SC_NPROCESSORS_ONLN);
	info->cores = info->cpus;
	info->mhz = read_mhz();
}

char *host_capabilities(const struct daemon *daemon)
{
	struct host_info info;
	char *text;

	host_info(&info);
	if (asprintf(&text,
		     "<capabilities>\n"
		     "  <host>\n"
		     "    <cpu>\n"
		     "      <arch>%s</arch>\n"
		     "    </cpu>\n"
		     "  </host>\n"
		     "  <guest>\n"
		     "    <os_type>hvm</os_type>\n"
		     "    <arch name='x86_64'>\n"
		     "      <wordsize>64</wordsize>\n"
		     "      <machine maxCpus='255'>adit</machine>\n"
		     "      <machine maxCpus='255'>microvm</machine>\n"
		     "      <domain type='kvm'/>\n"
		     "    </arch>\n"
		     "    <features>\n"
		     "      <acpi default='on' toggle='no'/>\n"
		     "      <apic default='on' toggle='no'/>\n"
		     "    </features>\n"
		     "  </guest>\n"
		     "</capabilities>\n",
		     info.model) < 0)
		return NULL;
	return text;
}

char *host_domain_capabilities(const struct daemon *daemon)
{
	char *text;

	/* The program's path is an operator's word, without characters of XML: main() saw to it. */
	if (asprintf(&text,
		     "<domainCapabilities>\n"
		     "  <path>%s</path>\n"
		     "  <domain>kvm</domain>\n"
		     "  <machine>adit</machine>\n"
		     "  <arch>x86_64</arch>\n"
		     "  <vcpu max='255'/>\n"
		     "  <os supported='yes'>\n"
		     "    <loader supported='no'/>\n"
		     "  </os>\n"
		     "  <cpu>\n"
		     "    <mode name='host-passthrough' supported='yes'/>\n"
		     "    <mode name='maximum' supported='no'/>\n"
		     "    <mode name='host-model' supported='no'/>\n"
		     "    <mode name='custom' supported='no'/>\n"
		     "  </cpu>\n"
		     "  <memoryBacking supported='yes'>\n"
		     "    <enum name='sourceType'>\n"
		     "      <value>memfd</value>\n"
		     "    </enum>\n"
		     "  </memoryBacking>\n"
		     "  <devices>\n"
		     "    <disk supported='yes'>\n"
		     "      <enum name='diskDevice'>\n"
		     "        <value>disk</value>\n"
		     "      </enum>\n"
		     "      <enum name='bus'>\n"
		     "        <value>virtio</value>\n"
		     "      </enum>\n"
		     "    </disk>\n"
		     "    <graphics supported='no'/>\n"
		     "    <video supported='no'/>\n"
		     "    <hostdev supported='yes'>\n"
		     "      <enum name='mode'>\n"
		     "        <value>subsystem</value>\n"
		     "      </enum>\n"
		     "      <enum name='subsysType'>\n"
		     "        <value>pci</value>\n"
		     "        <value>mdev</value>\n"
		     "      </enum>\n"
		     "      <enum name='pciBackend'>\n"
		     "        <value>vfio</value>\n"
		     "      </enum>\n"
		     "    </hostdev>\n"
		     "    <rng supported='yes'>\n"
		     "      <enum name='model'>\n"
		     "        <value>virtio</value>\n"
		     "      </enum>\n"
		     "      <enum name='backendModel'>\n"
		     "        <value>random</value>\n"
		     "      </enum>\n"
		     "    </rng>\n"
		     "  </devices>\n"
		     "  <features>\n"
		     "    <gic supported='no'/>\n"
		     "  </features>\n"
		     "</domainCapabilities>\n",
		     daemon->adit ? daemon->adit : "") < 0)
		return NULL;
	return text;
}
