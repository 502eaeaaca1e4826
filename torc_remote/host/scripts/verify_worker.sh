# shellcheck shell=sh
# verify_worker.sh WORKFLOW KEYS OUTPUT_DIR SETTLE PATIENCE: what became of the worker that was started?
# Waits until SETTLE seconds since the start have passed, and up to PATIENCE seconds for its registration.
settle=$4 patience=$5
locate "$1" "$2"
forget_nodes

registered() { new_log 2>/dev/null | grep -q 'Starting torc job runner'; }

while :; do
  identify "$1" "$2" "$3"
  refuse_unknown
  [ "$found" = running ] || break
  age=$(($(now) - ${r_since:-0}))
  [ "$age" -ge 0 ] || age=$patience
  if [ "$age" -ge "$settle" ] && registered; then
    emit_worker
    finish registered
  fi
  if [ "$age" -ge "$patience" ]; then
    emit_worker
    finish unregistered
  fi
  nap 0.1
done

# between the worker's end and its exit code lies a moment, in which its parent writes it down
tries=0
while [ "$found" = exited ] && [ -z "$exit_code" ] && [ "$tries" -lt 20 ]; do
  tries=$((tries + 1))
  nap 0.1
  identify "$1" "$2" "$3"
done
[ "$found" != none ] || fail died "the worker was started, but meanwhile it ended, and another command has deleted its logs and record"
emit_worker
emit exit_code "$exit_code"
if [ "$exit_code" = 0 ] && registered; then
  finish finished
fi
new_log 2>/dev/null | tail -n 10 | emit_lines log
[ "$exit_code" != 0 ] || fail died "The program ended with exit code 0 without having registered with the server: is it torc?"
fail died "Process died immediately"
