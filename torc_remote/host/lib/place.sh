# shellcheck shell=sh
# Where a record was made: which machine, which boot of it and, as containers have numbers of their own, which process
# numbers. Machines and containers may share a home and even a name, and a number proves something only where it was given.

boot='' host_id=''

# know_boot: sets `boot`, which differs after each start of the machine; empty where nothing tells, which is no failure
know_boot() {
  [ -z "$boot" ] || return 0
  if [ -r "$proc/sys/kernel/random/boot_id" ]; then
    read -r boot <"$proc/sys/kernel/random/boot_id"
  else
    # boottime moves with the clock
    boot=$(sysctl -n kern.bootsessionuuid 2>/dev/null || sysctl -n kern.boot_id 2>/dev/null || who -b 2>/dev/null)
    [ -n "$boot" ] || boot=$(sysctl -n kern.boottime 2>/dev/null) || :
  fi
}

# know_host: sets `host_id`, which differs between machines and between containers, where a process's number means another
know_host() {
  [ -z "$host_id" ] || return 0
  know_boot
  for k_file in /etc/machine-id /var/lib/dbus/machine-id; do
    [ -n "$host_id" ] || [ ! -r "$k_file" ] || read -r host_id <"$k_file" || :
  done
  plain_text "$host_id"
  host_id=$plain
  host_id=$host_id.$(readlink "$proc/self/ns/pid" 2>/dev/null | tr -cd 0-9)
}

# boot_time: when the machine was booted, or a container started, in seconds since 1970; nothing where nobody tells
boot_time() {
  if inspect 1 && is_number "$p_start"; then
    awk -v ticks="$p_start" '$1 == "btime" { printf "%d\n", $2 + ticks / 100 }' "$proc/stat" 2>/dev/null
  else
    sysctl -n kern.boottime 2>/dev/null | sed -n 's/.*[^u]sec = \([0-9]*\).*/\1/p'
  fi
}

# recorded_here: was the record made on this machine, and if that has not been booted since, where a number means the same
# process? After a boot numbers of before mean nothing, so the worker is gone; a twin, such as a copy of the machine,
# may have been booted before the worker was started.
recorded_here() {
  if [ "$r_boot" = "$boot" ]; then
    [ -z "$r_place" ] || [ "$r_place" = "$host_id" ]
  else
    [ -z "$r_place" ] || [ "${r_place%.*}" = "${host_id%.*}" ] || return 1
    h_booted=$(boot_time)
    ! is_number "$h_booted" || ! is_number "$r_since" || [ "$((h_booted + 60))" -gt "$r_since" ]
  fi
}

# refuse_unknown: the end of a script that would have to know
refuse_unknown() {
  [ "$found" != unknown ] || fail unknown "$unknown_reason. Nothing was changed; run the command there"
}

# locate_renamed WORKFLOW: sets `dir` to that of a worker which was started here when the machine had another name
locate_renamed() {
  know_host
  for n_dir in "$state_home"/*/"$1-$key"; do
    [ -e "$n_dir/record" ] || continue
    if (load_record "$n_dir/record" && [ "$r_boot" = "$boot" ] && [ "$r_place" = "$host_id" ]); then dir=$n_dir; fi
  done
}
