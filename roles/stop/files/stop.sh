# shellcheck shell=sh
# stop.sh WORKFLOW SERVER OUTPUT_DIR GRACE FORCE: ends the worker and every process of its jobs.
# FORCE 1 sends SIGKILL at once. Otherwise SIGTERM, first to the worker alone, so that it can end and report its
# jobs itself, then to what it left behind; GRACE bounds the wait, in seconds.
grace=$4 force=$5

worker_alive() { alive "$r_pid" "$r_start"; }

stop_gently() {
  kill -TERM "$r_pid" 2>/dev/null || :
  until_gone worker_alive || return 1
  left=$(remaining)
  [ -n "$left" ] || return 0
  signal_each TERM "$left"
  until_gone some_remain
}

# end_left_behind: the worker was killed alone, say for want of memory. Nobody would report those jobs' end.
end_left_behind() {
  roster=$(left_behind)
  r_session=0
  [ -n "$roster" ] || return 0
  changed
  if [ "$force" = 1 ]; then
    stop_by_force
  else
    signal_remaining TERM
    until_gone some_remain
  fi || fail still_running "the worker had ended before, but processes of its jobs do not \
($(remaining | tr '\n' ' ')). Use --force to end them"
  finish stopped
}

locate "$1" "$2"
[ ! -d "$dir" ] || lock
identify "$1" "$2" "$3"
r_session=${r_session:-0}
deadline=$(($(monotonic) + grace))
case $found in
none)
  # a start that was cut off has announced a worker that never ran
  ! locate_output "$1" "$2" "$3" || r_output=$output
  [ -z "$r_output" ] || note_end "$1" "$2"
  emit_lost_nodes
  finish not_running
  ;;
exited | stale)
  [ -z "$r_output" ] || note_end "$1" "$2"
  emit_worker
  emit_nodes
  end_left_behind
  [ "$found" != stale ] || emit reason "$stale_reason"
  finish "$([ "$found" = stale ] && echo stale || echo not_running)"
  ;;
esac

emit_worker
emit_nodes
changed
roster=$(family "$r_session" "$r_pid")
if [ "$force" = 1 ]; then stop_by_force; else stop_gently; fi && {
  note_end "$1" "$2"
  finish stopped
}
if worker_alive; then
  fail still_running "PID $r_pid did not end within $grace s. Use --force to end it"
fi
fail still_running "the worker ended, but processes of its jobs did not ($(remaining | tr '\n' ' ')). Use --force to end them"
