# shellcheck shell=sh
# Ending processes of a worker: those in `roster`, lines "PID START", and all that are its own (see ours.sh).
# `deadline`, by the clock of `monotonic`, bounds each wait.

# remaining: the numbers of the worker's processes that still live. `roster` names those seen before the first
# signal: once their parent is gone, nothing but their mark and this list tells whose they are.
remaining() {
  {
    printf '%s\n' "$roster"
    ours
  } | while read -r member start; do
    if alive "$member" "$start"; then echo "$member"; fi
  done | sort -un
}

# the roster first: to look through all processes of the host costs much more
some_remain() {
  printf '%s\n' "$roster" | (
    while read -r member start; do
      if alive "$member" "$start"; then exit 0; fi
    done
    exit 1
  ) || [ -n "$(remaining)" ]
}

# signal_each SIGNAL PIDS
signal_each() {
  for member in $2; do
    kill "-$1" "$member" 2>/dev/null || :
  done
}

signal_remaining() { signal_each "$1" "$(remaining)"; }

# until_gone CONDITION...: waits while it holds, until the deadline; fails when the time is up
until_gone() {
  while "$@"; do
    [ "$(monotonic)" -lt "$deadline" ] || return 1
    nap 0.1
  done
}

worker_alive() { alive "$r_pid" "$r_start"; }

# stop_gently: SIGTERM, first to the worker alone, so that it can end and report its jobs itself, then to what it left
# behind
stop_gently() {
  kill -TERM "$r_pid" 2>/dev/null || :
  until_gone worker_alive || return 1
  left=$(remaining)
  [ -n "$left" ] || return 0
  signal_each TERM "$left"
  until_gone some_remain
}

stop_by_force() {
  signal_remaining KILL
  until_gone kill_again
}

# a process may have been forked between the look and the signal
kill_again() {
  some_remain && signal_remaining KILL
}
