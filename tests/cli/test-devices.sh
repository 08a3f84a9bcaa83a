#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# adit devices on whatever host this is: it agrees with sysfs and needs nothing.
# shellcheck source=tap.sh
. "$(dirname "$0")/tap.sh"

run "$adit" devices
ok "devices gives status 0" is "$status" 0
ok "it says nothing on standard error" is "$(cat "$work/err")" ''
run "$adit" devices --json
ok "devices --json names each PCI function once, with a state and its reason" python3 -c '
import json, os, sys
host = json.load(open(sys.argv[1]))
names = [f["path"] for f in host["functions"]]
there = "/sys/bus/pci/devices"
assert names == sorted(os.listdir(there) if os.path.isdir(there) else []), names
for f in host["functions"]:
    assert f["state"] in ("ready", "managed", "refused"), f
    assert (f["why"] is None) == (f["state"] == "ready"), f
    if not os.path.exists("%s/%s/iommu_group" % (there, f["path"])):
        assert f["state"] == "refused", f
assert all(type(host[k]) is list for k in ("mdev_types", "mdevs", "wqs"))
' "$work/out"
run "$adit" devices --bad
ok "an unknown option gives status 2" is "$status" 2
run "$adit" devices extra
ok "an argument gives status 2" is "$status" 2
done_testing
