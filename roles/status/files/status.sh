# shellcheck shell=sh
# status.sh WORKFLOW SERVER OUTPUT_DIR: is the worker running? Changes nothing.
identify "$1" "$2" "$3"
case $found in
running)
  emit_worker
  ;;
exited)
  emit_worker
  emit exit_code "$exit_code"
  new_log 2>/dev/null | tail -n 1 | emit_lines log
  ;;
stale)
  emit_pid
  emit reason "$stale_reason"
  ;;
esac
finish "$found"
