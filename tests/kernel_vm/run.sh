# The machine's first program once the disks are there: prepares what a command expects of a system, runs the
# command with its output to one port of the machine, says its status to another, and switches the machine off.
export HOME=/root USER=root LANG=C.UTF-8 PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
export DENO_NO_UPDATE_CHECK=1 NO_COLOR=1
# Says for each name that a package has brought that it is taken.
/bin/busybox --install -s /usr/bin 2>/dev/null

# What is passed on the kernel's command line.
passed() { sed -n "s/.*\\bstackmap_$1=\\([^ ]*\\).*/\\1/p" /proc/cmdline; }
port() {
  for name in /sys/class/virtio-ports/*/name; do
    if [ "$(cat "$name")" = "$1" ]; then basename "$(dirname "$name")"; fi
  done
}

mkdir -p /dev/pts /dev/shm
mount -t devpts devpts /dev/pts
mount -t tmpfs tmpfs /dev/shm
ln -s /proc/self/fd /dev/fd
for number in 0:stdin 1:stdout 2:stderr; do ln -s "/proc/self/fd/${number%:*}" "/dev/${number#*:}"; done
mount -t bpf bpf /sys/fs/bpf
mount -t tracefs tracefs /sys/kernel/tracing
mount -t debugfs debugfs /sys/kernel/debug
mount -t cgroup2 cgroup2 /sys/fs/cgroup
hostname kernel-vm
ip link set lo up
if [ "$(date +%s)" -lt "$(passed time)" ]; then date -s "@$(passed time)" >/dev/null; fi

exec 3<>"/dev/$(port output)" 4>"/dev/$(port status)" || exit
# Nothing is ever sent to this port. It ends when the program that started the machine does.
(cat <&3 >/dev/null; poweroff -f) &

# A port can't be opened twice, as in `echo >/dev/stderr`; a pipe can.
mkfifo /run/output
cat /run/output >&3 &
copier=$!
cd /work
/bin/sh /run/command.sh </dev/null >/run/output 2>&1 3>&- 4>&-
status=$?
# Processes that the command left behind may keep the pipe open.
(sleep 5; kill $copier) 2>/dev/null &
wait $copier
echo $status >&4
poweroff -f
