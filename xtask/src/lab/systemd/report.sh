#!/bin/sh
# What systemd and its tools make of the verity device, in sections, on the second serial line.
exec > /dev/ttyS1 2>&1

section() {
    echo "== $stage $1"
    shift
    "$@"
}

look() {
    section udev udevadm info --query=property /dev/mapper/usr
    section device systemctl show --property=ActiveState dev-mapper-usr.device
    systemctl restart needs-usr.service
    section unit systemctl show --property=ActiveState needs-usr.service
    section veritysetup veritysetup status usr
    section dmsetup dmsetup info --columns --noheadings --separator ' ' --options name,uuid,open
    section table dmsetup table usr
    section mounts cat /proc/self/mountinfo
    section timeline cat /run/toehold/timeline
    section report cat /run/toehold/report
    section rule cat /run/udev/rules.d/09-toehold.rules
    section failed systemctl list-units --failed --plain --no-legend --no-pager
}

stage=$1
if [ "$stage" = root ]; then
    section state systemctl is-system-running --wait
    section target systemctl show --property=ActiveState multi-user.target
    look
    echo "== end"
    exec systemctl poweroff --force --force
fi
look
# As initrds do before they hand over.
udevadm info --cleanup-db
udevadm trigger --action=change --settle
stage=retriggered
look
# dracut has a rule that lets the device pass; without it, ours has to.
rm /etc/udev/rules.d/11-dm.rules
udevadm control --reload
udevadm info --cleanup-db
udevadm trigger --action=change --settle
stage=without-rule
look
