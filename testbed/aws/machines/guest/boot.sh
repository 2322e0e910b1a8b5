#!/bin/bash
# Boots an instance: runs as the first process of new mount, pid, uts and ipc namespaces, and becomes the guest's init.
# usage: boot.sh DIRECTORY DISK_SIZE HOST_NAME FIRST_BOOT
#
# The guest's root is the host's, read through an overlay. What a guest writes lands on one tmpfs of DISK_SIZE, /run and
# /tmp included, so that no guest can fill the host's memory; a reboot begins with a fresh one.
# Of the host it sees the programs (/usr, /etc) and nothing that the testbed or a person keeps.
set -euo pipefail
directory=$1 size=$2 host_name=$3 first=$4
disk=$directory/disk root=$directory/root

mount -t tmpfs -o "size=$size,mode=755" disk "$disk"
mkdir -p "$disk"/{changes,work,hidden}
cp -a "$directory/seed/." "$disk/changes/"
mount -t overlay -o "lowerdir=/,upperdir=$disk/changes,workdir=$disk/work" machine "$root"

for path in /*; do
    [[ -d $path && ! -L $path ]] || continue
    case $path in /bin | /sbin | /lib* | /usr | /etc | /dev | /proc | /sys) continue ;; esac
    mkdir -p "$disk/hidden$path"
    mount --bind "$disk/hidden$path" "$root$path"
done
mkdir -p "$root"/run/lock "$root"/var/{cache,lib/cloud/instance,log,tmp}
chmod 1777 "$root/tmp" "$root/var/tmp"
chmod 700 "$root/root"
cp -a "$directory/user-data" "$root/var/lib/cloud/instance/user-data.txt"

mount -t proc -o nosuid,nodev,noexec proc "$root/proc"
mount -t sysfs -o ro,nosuid,nodev,noexec sysfs "$root/sys"
mount -t tmpfs -o size=1m,mode=755 devices "$root/dev"
for node in null zero full random urandom tty; do
    touch "$root/dev/$node"
    mount --bind "/dev/$node" "$root/dev/$node"
done
mkdir "$root/dev/pts" "$root/dev/shm"
mount -t devpts -o newinstance,ptmxmode=0666,mode=620 devpts "$root/dev/pts"
mount -t tmpfs -o size=16m,mode=1777 shm "$root/dev/shm"
ln -s pts/ptmx "$root/dev/ptmx"
ln -s /proc/self/fd "$root/dev/fd"
ln -s /proc/self/fd/0 "$root/dev/stdin"
ln -s /proc/self/fd/1 "$root/dev/stdout"
ln -s /proc/self/fd/2 "$root/dev/stderr"

hostname "$host_name"
cd "$root"
export FIRST_BOOT=$first
# A guest is root over itself: what would reach the host's kernel or devices is taken away for good.
exec setpriv --bounding-set=-sys_module,-sys_rawio,-sys_time,-sys_boot,-mknod,-syslog,-audit_control \
    chroot "$root" /bin/bash /usr/sbin/guest-init
