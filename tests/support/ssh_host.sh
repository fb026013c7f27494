#!/bin/bash
# SPDX-License-Identifier: MIT
# Turns the calling process into the sshd of tests/support/ssh_host.h. In a mount namespace of its own it mounts what it
# changes: upper layers on /etc and /usr, and empty file systems where servers keep their state.
# usage: unshare --mount bash ssh_host.sh FOLDER PACKAGES HEADWIND USER
set -euo pipefail
folder=$1 packages=$2 headwind=$3 user=$4

mount -t tmpfs -o mode=755 tmpfs "$folder/layers"
for place in etc usr; do
  mkdir "$folder/layers/$place" "$folder/layers/$place.work"
  mount -t overlay -o "lowerdir=/$place,upperdir=$folder/layers/$place,workdir=$folder/layers/$place.work" overlay "/$place"
done
for place in /run /var/log; do mount -t tmpfs -o mode=755 tmpfs "$place"; done
mkdir /run/sshd /run/lock
cp -a "$packages/usr/." /usr/
cp -a "$packages/lib/." /usr/lib/
cp "$headwind" /usr/local/sbin/headwind
ldconfig

cat >/etc/passwd <<PASSWD
root:x:0:0::$folder/home:/bin/bash
$user:x:4711:4711::$folder/home:/bin/bash
sshd:x:4712:4712::/run/sshd:/usr/sbin/nologin
nobody:x:65534:65534::/:/usr/sbin/nologin
PASSWD
printf '%s\n' root:x:0: tty:x:5: "$user:x:4711:" sshd:x:4712: nogroup:x:65534: >/etc/group
for name in root "$user" sshd nobody; do echo "$name:*:20000:0:99999:7:::"; done >/etc/shadow
chmod 600 /etc/shadow
echo "127.0.0.1 localhost $(hostname)" >/etc/hosts
for name in su su-l sudo sudo-i; do
  printf '%s sufficient pam_permit.so\n' auth account session >"/etc/pam.d/$name"
done
cat >/etc/sudoers <<SUDOERS
Defaults env_reset, use_pty, !syslog, secure_path="/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
root, $user ALL=(ALL:ALL) NOPASSWD: ALL
SUDOERS
chmod 440 /etc/sudoers
mkdir "$folder/home"
chown "$user:" "$folder/home"

ssh-keygen -q -t ed25519 -N '' -f "$folder/key"
ssh-keygen -q -t ed25519 -N '' -f "$folder/host_key"
cat >"$folder/config" <<CONFIG
HostKey $folder/host_key
AuthorizedKeysFile $folder/key.pub
StrictModes no
UsePAM no
UseDNS no
PermitRootLogin yes
PidFile none
PrintMotd no
PrintLastLog no
CONFIG
exec /usr/sbin/sshd -D -e -f "$folder/config"
