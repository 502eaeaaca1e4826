# shellcheck shell=sh
# status.sh WORKFLOW KEYS KNOWN OUTPUT_DIR: is the worker running? Changes nothing. KNOWN: see is_foreign.
identify "$1" "$2" "$4"
refuse_unknown
if [ "$found" = running ] && is_foreign "$3"; then
  emit_pid
  emit reason "$(foreign_worker)"
  finish foreign
fi
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
