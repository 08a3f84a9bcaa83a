# shellcheck shell=sh
# SPDX-License-Identifier: Apache-2.0
# adit's own unit and guest suites, on kvm_amd.
# shellcheck disable=SC2034,SC2154 # settings for tests/rig/run, and from it
TITLE='the unit and guest suites pass on kvm_amd'
SMOKE=none
IOMMU=none
NEED='adit tests'
APPEND='hugepages=40' # at boot, when memory is not in pieces yet
LIMIT=1200

l1() {
	cd /adit || return
	# With twenty guests at once the emulated machine itself sometimes ends without a word.
	export ADIT_BUILD=/adit/build ADIT_TEST_TIMEOUT=600 ADIT_TEST_AT_ONCE=4
	[ "$rig_tier" = smoke ] && export ADIT_TEST_OPS=10000 # the host has done more of them in seconds
	sh tests/run l1-unit /out/unit build/tests/unit/test-*
	sh tests/run l1-guest /out/guest build/tests/guest/test-*
	return 0 # what they counted is the answer
}
