#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# A client that is generated from docs/openapi.json does all that the document has.
# shellcheck source=../cli/tap.sh
. "$(dirname "$0")/../cli/tap.sh"
here=$(dirname "$0")
need_kvm
if ! python3 -c 'import jsonschema' 2>/dev/null; then
	skip "everything here" "no jsonschema (package python3-jsonschema)"
	done_testing
fi
python3 "$here/generate.py" docs/openapi.json >"$work/client.py"
truncate -s 1M "$work/disk"
echo '{"adis": [{"id": "served", "type": "dsa", "wqs": [{"size": 16}]}]}' >"$work/served.json"
"$adit" adi-serve "$work/served" "$work/served.json" >/dev/null 2>&1 </dev/null &
server=$!
"$adit" run --api-socket "$work/api" >"$work/out" 2>"$work/err" </dev/null &
pid=$!
trap 'kill $server $pid 2>/dev/null; rm -rf "$work"' EXIT
until [ -S "$work/api" ] && [ -S "$work/served" ]; do
	if ! kill -0 "$pid" || ! kill -0 "$server"; then break; fi
done
python3 "$here/openapi.py" "$work/client.py" "$work/api" "$work" "$(realpath "$build/guest/spin.bin")" "$work/served"
status=$?
[ $status = 0 ] || sed 's/^/# /' "$work/err"
exit $status
