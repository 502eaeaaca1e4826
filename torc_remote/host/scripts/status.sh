# shellcheck shell=sh
# status.sh WORKFLOW KEYS OUTPUT_DIR: is the worker running? Changes nothing.
identify "$1" "$2" "$3"
refuse_unknown
case $found in
running)
  emit_worker
  ;;
exited)
  emit_worker
  emit exit_code "$exit_code"
  new_log 2>/dev/null | tail -n 1 | emit_lines log
  left=$(ours | numbers)
  [ -z "$left" ] || emit reason "processes of its jobs are still running (PID $(named "$left"))"
  ;;
stale)
  emit_pid
  emit reason "$stale_reason"
  ;;
esac
finish "$found"
