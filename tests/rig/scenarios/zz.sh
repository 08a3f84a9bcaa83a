IOMMU=none
NEED='adit generic'
LIMIT=150
l1() {
	cat >/tmp/go1 <<-'EOF'
		mount -t debugfs d /sys/kernel/debug
		modprobe idxd dyndbg=+p
		cd /sys/bus/dsa/devices
		w() { echo "$1" >$2 || echo "FAILED $1 > $2"; }
		w 0 engine0.0/group_id; w 0 wq0.0/group_id; w dedicated wq0.0/mode; w 16 wq0.0/size; w 10 wq0.0/priority; w 1 wq0.0/max_batch_size; w kernel wq0.0/type; w dmaengine wq0.0/name; w dmaengine wq0.0/driver_name
		w dsa0 /sys/bus/dsa/drivers/idxd/bind
		cat dsa0/cmd_status
		w wq0.0 /sys/bus/dsa/drivers/dmaengine/bind
		cat dsa0/cmd_status
		cat dsa0/state wq0.0/state; ls /sys/class/dma
		modprobe dmatest timeout=5000 iterations=20 threads_per_chan=1 noverify=0 wait=1 max_channels=1 polled=0 run=1; echo dmatest $?
		cat /sys/module/dmatest/parameters/test_list
		cat /proc/interrupts | grep -i idxd
		dmesg | grep -v '^.\{14\} \(audit\)' | grep -i -E 'idxd|dmatest|dsa|dma0'
	EOF
	l2_config d /kernels/generic/vmlinuz "$(l2_image generic /tmp/go1)" 1 512M "quiet" '"adis": [{"id": "dsa0", "type": "dsa", "backend": "soft", "wqs": [{"mode": "dedicated", "size": 16}], "engines": 1}]'
	check dsa l2_run d 100
}
