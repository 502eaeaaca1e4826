# shellcheck shell=sh
# stop.sh WORKFLOW KEYS KNOWN OUTPUT_DIR GRACE FORCE: ends the worker and every process of its jobs.
# FORCE 1 sends SIGKILL at once. Otherwise SIGTERM; GRACE bounds the wait, in seconds. KNOWN: see is_foreign.
known=$3 grace=$5 force=$6

# end_left_behind: the worker was killed alone, say for want of memory, or a job left a process behind
end_left_behind() {
  roster=$(ours)
  [ -n "$roster" ] || return 0
  changed
  if [ "$force" = 1 ]; then
    stop_by_force
  else
    signal_remaining TERM
    until_gone some_remain
  fi || fail still_running "the worker had ended before, but processes of its jobs do not \
(PID $(named "$(remaining)")). $advice"
  finish stopped
}

# A launch that an earlier command did not live to see the end of; the worker, if it has one, is found by its mark.
end_launch() {
  settle_launch 10 && return
  [ "$force" = 1 ] || fail still_running "a worker is being started just now (PID $launch_pid). \
Run the command again later, or use --force"
  signal_each KILL "$launch_pid"
  settle_launch 10 || fail still_running "PID $launch_pid, which is starting a worker, does not end"
}

advice='Use --force to end them'
[ "$force" = 0 ] || advice='They take no signal, or belong to another user'
locate "$1" "$2"
if lock; then end_launch; fi
identify "$1" "$2" "$4"
refuse_unknown
deadline=$(($(monotonic) + grace))
case $found in
none)
  # a start that was cut off has announced a worker that never ran
  ! locate_output "$1" "$2" "$4" || r_output=$output
  [ -z "$r_output" ] || note_end "$1"
  emit_lost_nodes
  end_left_behind
  finish not_running
  ;;
exited | stale)
  [ -z "$r_output" ] || note_end "$1"
  emit_worker
  emit_nodes
  end_left_behind
  [ "$found" != stale ] || emit reason "$stale_reason"
  finish "$([ "$found" = stale ] && echo stale || echo not_running)"
  ;;
esac

if is_foreign "$known"; then
  emit_pid
  emit reason "$(foreign_worker)"
  finish foreign
fi
emit_worker
ask_to_end
emit_nodes
changed
roster=$(ours)
if [ "$force" = 1 ]; then stop_by_force; else stop_gently; fi && {
  note_end "$1"
  finish stopped
}
if worker_alive; then
  fail still_running "PID $r_pid did not end within $grace s. Use --force to end it"
fi
fail still_running "the worker ended, but processes of its jobs did not (PID $(named "$(remaining)")). $advice"
