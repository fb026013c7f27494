# SPDX-License-Identifier: MIT
# shellcheck shell=dash disable=SC2154  # the variables are those of /run/guest/ports
# Runs the command with its output going to the host, then tells its exit status and stops the guest. Init becomes this.
b=/run/guest/busybox
# shellcheck source=/dev/null
. /run/guest/ports
$b mkfifo /run/guest/out /run/guest/err
$b cat /run/guest/out >"$out" & readers=$!
$b cat /run/guest/err >"$err" & readers="$readers $!"
echo begin >"$status"
$b setsid /bin/bash /run/guest/command </dev/null >/run/guest/out 2>/run/guest/err
code=$?
# shellcheck disable=SC2034,SC2086  # a count; several words
for tries in 1 2 3 4 5 6 7 8 9 10; do # what a process left behind still holds open is not waited for
  kill -0 $readers 2>/dev/null || break
  $b usleep 20000
done
$b sync
echo "end $code" >"$status"
$b reboot -f
