#!/bin/sh
# The first stage as a careful busybox script does it: the comparison of record for `cargo xtask bench`.
# The builder writes HASH_OFFSET, FSTYPE and IMAGE in front of it, as an image's own script has them.

mount -t proc -o nosuid,nodev,noexec proc /proc
mount -t sysfs -o nosuid,nodev,noexec sysfs /sys
mount -t devtmpfs -o nosuid,mode=0755 devtmpfs /dev
mount -t tmpfs -o nosuid,nodev,mode=0755 tmpfs /run

fail() {
	echo "busybox init: $*" >/dev/kmsg
	reboot -f
}

read -r cmdline </proc/cmdline
for word in $cmdline; do
	case $word in
	verity.usr=PARTLABEL=*) label=${word#verity.usr=PARTLABEL=} ;;
	verity.usrhash=*) hash=${word#verity.usrhash=} ;;
	esac
done

# The bus directories hold every modalias that a disk needs; walking all of /sys costs ten times as much.
coldplug() {
	cat /sys/bus/*/devices/*/modalias /sys/devices/system/cpu/modalias 2>/dev/null |
		sort -u | xargs modprobe -abq 2>/dev/null
}

# The kernel's uevents name a partition's label, but before 6.13 not its UUID.
find_partition() {
	uevent=$(grep -l "^PARTNAME=$label\$" /sys/class/block/*/uevent 2>/dev/null)
}

modprobe -aq dm-verity loop overlay
coldplug
tries=0
until find_partition; do
	# What the first round loaded may have brought new buses.
	coldplug
	find_partition && break
	tries=$((tries + 1))
	[ $tries -lt 300 ] || fail "no partition $label"
	sleep 0.1
done
uevent=${uevent%/uevent}
device=/dev/${uevent##*/}

veritysetup open --panic-on-corruption --hash-offset="$HASH_OFFSET" \
	"$device" usr "$device" "$hash" || fail "verity refused $device"
mount -t "$FSTYPE" -o ro /dev/mapper/usr /sysusr/usr || fail "cannot mount /usr"
mount -t squashfs -o ro,loop "/sysusr/usr/$IMAGE" /stage2/image || fail "cannot mount $IMAGE"
mount -t tmpfs -o mode=0755,size=50% tmpfs /stage2/rw
mkdir /stage2/rw/upper /stage2/rw/work
mount -t overlay \
	-o lowerdir=/stage2/image,upperdir=/stage2/rw/upper,workdir=/stage2/rw/work \
	overlay /stage2/root || fail "cannot mount the overlay"

for point in dev proc sys run sysusr/usr; do
	mount --move "/$point" "/stage2/root/$point"
done
exec switch_root /stage2/root /init
