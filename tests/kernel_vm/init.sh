#!/bin/busybox sh
# The machine's first program, in the RAM disk: brings the disks up and goes on from there with run.sh.
b=/bin/busybox
$b mount -t proc proc /proc
$b mount -t sysfs sysfs /sys
$b mount -t devtmpfs devtmpfs /dev
while read -r module; do $b insmod "/modules/$module"; done </modules/order
# Disks come up a little after their driver.
tries=0
until [ -b /dev/vda ] && [ -b /dev/vdb ] || [ $tries -ge 300 ]; do
  tries=$((tries + 1))
  $b sleep 0.1
done
# Everything is thrown away in the end: no access times, no work in the background.
$b mount -t ext4 -o noatime,noinit_itable /dev/vda /root || exit
$b mount -t ext4 -o noatime,noinit_itable /dev/vdb /root/work || exit
$b cp /run.sh /command.sh /root/run/
for folder in proc sys dev; do $b mount --move /$folder /root/$folder; done
exec $b switch_root /root /bin/busybox sh /run/run.sh
