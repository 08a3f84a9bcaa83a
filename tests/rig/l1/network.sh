# shellcheck shell=sh
# SPDX-License-Identifier: Apache-2.0
# For scenarios whose guest has a tap, tap0: who is at its other end.
# shellcheck disable=SC2154 # from l2.sh

# A namespace with a web server at 10.1.1.1, which has /tmp/www and in it a file of noise; it waits for
# the interface that adit makes.
network_server() {
	mkdir -p /tmp/www
	head -c 3000000 /dev/urandom >/tmp/www/file
	unshare -n sh -c 'echo $$ >/tmp/ns
		while [ ! -e /tmp/ns-go ]; do sleep 0.2; done
		ip link set lo up
		ip addr add 10.1.1.1/24 dev tap0
		ip link set tap0 up
		exec httpd -f -p 80 -h /tmp/www' &
	until [ -s /tmp/ns ]; do sleep 0.2; done
}
# After l2_start: tap0 goes to the server.
network_plug() {
	until [ -e /sys/class/net/tap0 ] || ! kill -0 "$l2_pid"; do sleep 0.2; done
	ip link set tap0 netns "$(cat /tmp/ns)" && touch /tmp/ns-go
}
