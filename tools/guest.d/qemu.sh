# SPDX-License-Identifier: MIT
# shellcheck shell=bash disable=SC2154  # the variables are those of tools/guest
# The guest's machine: QEMU's arguments, its start, and how it ended. Sourced by tools/guest.

qemu_arguments() {
  local folder index=0
  local boot='console=ttyS0 quiet panic=-1 oops=panic mitigations=off nokaslr cryptomgr.notests'
  qemu=(-nodefaults -no-user-config -no-reboot -display none -nic none -machine pc -cpu 'max,-la57' -m "$memory"
    -serial "file:$run/console" -device 'virtio-serial-pci,ioeventfd=off')
  for folder in out err status; do
    qemu+=(-chardev "file,id=$folder,path=$run/$folder" -device "virtserialport,chardev=$folder,name=$folder")
  done
  if [[ ! $virtual_time ]]; then
    qemu+=(-fsdev 'local,id=root,path=/,security_model=none,readonly=on,multidevs=remap'
      -device 'virtio-9p-pci,fsdev=root,mount_tag=root')
  fi
  for folder in "${shares[@]}"; do
    qemu+=(-fsdev "local,id=share$index,path=${folder//,/,,},security_model=none,multidevs=remap"
      -device "virtio-9p-pci,fsdev=share$index,mount_tag=share$index")
    index=$((index + 1))
  done
  if [[ $nics ]]; then
    for index in 1 2; do
      qemu+=(-netdev "hubport,hubid=0,id=nic$index"
        -device "virtio-net-pci,netdev=nic$index,mac=52:54:00:00:00:0$index,romfile=")
    done
  fi
  if [[ $virtual_time ]]; then
    # The time stamp counter counts the same nanoseconds: the kernel need not measure it, nor doubt it.
    boot+=' tsc=reliable tsc_early_khz=1000000 hpet=disable norandmaps'
    # khugepaged would keep the one CPU for milliseconds, also from threads of real-time priority: it is not preempted.
    boot+=' transparent_hugepage=never'
    qemu+=(-accel tcg -icount 'shift=0,sleep=off' -smp 1 -seed 1 -rtc 'base=2026-01-01,clock=vm')
  else
    # One host thread for all CPUs, in turn: with a thread each, the kernel's patching of an instruction (jump labels) can hit
    # a CPU in the middle of it, which QEMU's emulation does not survive (seen: a panic in inet6_ehashfn in some ten runs).
    local threads=single
    [[ ! $parallel ]] || threads=multi
    qemu+=(-accel "tcg,thread=$threads" -smp "$cpus")
  fi
  qemu+=(-kernel "$kernel_folder/vmlinux" -initrd "$run/initrd" -append "$boot")
}

# Kills what is left and removes the run's folder; also runs when a signal ends the script.
# shellcheck disable=SC2317  # called by the trap
clean_up() {
  exec 2>/dev/null # bash would tell of each job it kills
  local job
  for job in $(jobs -p); do kill -KILL "$job" || true; done
  wait || true
  rm -rf "$run"
}

start_guest() {
  mkfifo "$run/out" "$run/err"
  cat "$run/out" &
  outputs=($!)
  cat "$run/err" >&2 &
  outputs+=($!)
  setpriv --pdeathsig KILL qemu-system-x86_64 "${qemu[@]}" </dev/null >"$run/qemu" 2>&1 &
  guest=$!
  setpriv --pdeathsig KILL sleep "$limit" >/dev/null 2>&1 &
  alarm=$!
}

console_tail() {
  {
    cat "$run/qemu"
    tr -d '\r' <"$run/console" | sed 's/\x1b[^a-zA-Z]*[a-zA-Z]//g' | tail -n 40
  } 2>/dev/null | sed 's/^/  | /' >&2
}

wait_for_guest() {
  local ended tries
  wait -n -p ended "$guest" "$alarm" "${outputs[@]}" || true
  if [[ $ended == "$alarm" ]]; then
    timed_out=yes
  elif [[ $ended != "$guest" ]]; then # QEMU is about to end, or nobody reads the output any more (| head)
    for tries in {1..50}; do
      kill -0 "$guest" 2>/dev/null || break
      sleep 0.02
    done
    ((tries < 50)) || exit "$EXIT_PIPE"
  fi
  { kill -KILL "$guest" && wait "$guest"; } 2>/dev/null || true
  wait "${outputs[@]}" || true
}

exit_status() {
  local word code
  [[ -e $run/status ]] || : >"$run/status"
  while read -r word code; do
    [[ $word == end ]] || continue
    [[ $code != 127 || ! $virtual_time ]] || say "exit status 127: was a program missing? Name it with --copy"
    exit "$code"
  done <"$run/status"
  if [[ ${timed_out:-} ]]; then
    say "stopped after $limit s: ${command[*]}"
    grep -q begin "$run/status" || { say "the guest had not booted by then; its console:"; console_tail; }
    exit "$EXIT_TIMEOUT"
  fi
  if grep -q begin "$run/status"; then
    say "the guest stopped before the command ended; its console:"
  else
    say "QEMU failed or the guest did not boot; its console:"
  fi
  console_tail
  exit "$EXIT_GUEST"
}
