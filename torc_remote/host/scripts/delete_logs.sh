# shellcheck shell=sh
# delete_logs.sh WORKFLOW KEYS OUTPUT_DIR ALL_WORKFLOWS MANIFEST: removes what workers made, never under a live one.
# ALL_WORKFLOWS 1: those of every workflow; else of this one alone.
# With a MANIFEST (of the archive that was collected) nothing is removed when something has changed since.
workflow=$1 keys=$2 output_dir=$3 all=$4 collected=$5
ids=$workflow
[ "$all" = 0 ] || ids='[0-9]*'

refuse() { fail refused "$1. Nothing was removed"; }

# A directory is never removed for its name alone, but these are refused before anyone looks inside.
guard_output() {
  bare=$located
  while [ "$bare" != "${bare%/}" ]; do bare=${bare%/}; done
  [ ! -L "$bare" ] || refuse "$located is a symbolic link"
  owned "$output" || refuse "$output $foreign"
  case $library_home/ in
  "${output%/}"/*) refuse "$output is the home directory or above it" ;;
  esac
  case $bare in
  .. | */.. | . | */.) refuse "$located is not a directory's own name" ;;
  esac
}

# mounted: where something is mounted at the directory or below, which may be other people's; the system writes odd
# characters of names in octal
mounted() {
  [ ! -r "$proc/self/mountinfo" ] || output=$output awk '
    {
      at = $5
      gsub(/\\040/, " ", at); gsub(/\\011/, "\t", at); gsub(/\\012/, "\n", at); gsub(/\\134/, "\\", at)
      if (index(at "/", ENVIRON["output"] "/") == 1) print at
    }' "$proc/self/mountinfo"
}

remove_whole() {
  [ -z "$(mounted)" ] || refuse "$(mounted | head -n 1) is a mounted file system"
  # the marker last, so that whoever comes after an abort knows what is left
  find . ! -name . -prune ! -name .torc-remote ! -name '.torc-remote.*' -exec rm -rf {} +
  [ -z "$(others)" ] || fail failed "$output could not be removed completely"
  changed
  emit removed "$output"
  rm -f .torc-remote .torc-remote.new
  case $output in
  */"server-$key")
    cd .. && rmdir "$output" || fail failed "$output could not be removed completely"
    forget_workflow
    ;;
  *) cd / && remove_empty "$output" ;;
  esac
}

# remove_empty DIR: unless somebody starts a worker there just now
remove_empty() {
  leave_output
  rmdir "$1" 2>/dev/null || [ ! -d "$1" ] || [ -n "$(ls -A "$1")" ] || fail failed "$1 could not be removed"
}

# others: what is in the directory beside the marker
others() { find . ! -name . -prune ! -name .torc-remote ! -name '.torc-remote.*' -print | sed 's,^\./,,' | sort; }

# Only what torc names after its workflows; says what stays.
remove_own_files() {
  count=$(own_files "$ids" -print | wc -l | tr -d ' ')
  if [ "$count" = 0 ] && ! in_marker; then
    [ -f .torc-remote ] || [ -z "$output_dir" ] ||
      refuse "$output holds nothing that a worker of workflow $workflow made"
    forget_record
    finish absent "there are no logs of workflow $workflow in $output"
  fi
  own_files "$ids" -exec rm -f {} + || fail failed "some files in $output could not be removed"
  for sub in job_stdio resource_utilization offline_journal; do
    [ ! -d "$sub" ] || rmdir "$sub" 2>/dev/null || :
  done
  [ "$count" = 0 ] || changed
  emit removed "$count files in $output"
  others | head -n 10 | emit_lines kept
  kept_more=$(($(others | wc -l) - 10))
  [ "$kept_more" -le 0 ] || emit kept_more "$kept_more"
  forget_workflow
}

# in_marker: is the workflow known to have used the directory?
in_marker() {
  [ -f .torc-remote ] && awk -v id="$workflow" -v key="$key" -v old="$old_key" -v all="$all" '
    all || ($2 == id && ($3 == key || $3 == old)) { found = 1 }
    END { exit !found }' .torc-remote
}

# Takes the workflow's lines out of the marker; who made the directory stays known while another workflow uses it.
forget_workflow() {
  [ -f .torc-remote ] || return 0
  # With what was added meanwhile, as the end of a worker is noted without the lock.
  # shellcheck disable=SC2094 # the one that is read is not the one that is written to
  {
    awk -v id="$workflow" -v key="$key" -v old="$old_key" -v all="$all" '
      all { next }
      $2 == id && ($3 == key || $3 == old) { if ($NF == "created=1") created = 1; next }
      { print; others = 1 }
      END { if (created && others) print "made created=1" }' >.torc-remote.new &&
      mv .torc-remote.new .torc-remote
    cat >>.torc-remote
  } <.torc-remote
  grep -q -v '^made ' .torc-remote && return
  made=$(cat .torc-remote)
  rm -f .torc-remote
  leave_output
  [ -z "$made" ] || rmdir "$(pwd -P)" 2>/dev/null || :
}

# made_by_start: all that is there was made by workers, and all of it is meant
made_by_start() { [ "$all" = 1 ] && [ -f .torc-remote ] && grep -q ' created=1$' .torc-remote; }

# Only `lost` stays, where there is one, until the server has been told.
forget_record() {
  rm -rf "$dir/record" "$dir/record.new" "$dir"/exit.* "$dir/stopping" "$dir/ca.pem" "$dir/lost.new" "$dir"/ticket.*
  [ ! -e "$dir/lost" ] || emit lost 1
  unlock
  rmdir "$dir" "${dir%/*}" 2>/dev/null || :
}

locate "$workflow" "$keys"
if lock; then
  settle_launch 10 || fail live "a worker is being started there just now (PID $launch_pid)"
fi
there=1
locate_output "$workflow" "$keys" "$output_dir" || there=0
refuse_unknown
[ "$found" != running ] || emit_held_nodes
if [ "$there" = 1 ]; then
  guard_output
  lock_output || there=0
fi
if [ "$there" = 1 ]; then
  live=$(running_there "$workflow")
  [ -z "$live" ] || fail live "$live"
fi
[ "$found" != running ] || fail live "the worker is still running (PID $r_pid). Stop it first"
live=$(live_jobs "$all" | sort -un)
case $found:$exit_code in
stale:* | exited: | exited:137) whose="jobs of a worker that was killed" ;;
*) whose="processes of its jobs" ;;
esac
[ -z "$live" ] || fail live "$whose are still running there (PID $(named "$live")). 'torc remote stop' ends them"
if [ "$there" = 0 ]; then
  emit_lost_nodes
  [ ! -d "$dir" ] || forget_record
  finish absent "there is no directory $output"
fi
case $found:$exit_code in
exited:0 | none:*) emit_lost_nodes ;;
# it may not have told the server itself, and only its log tells which of the server's jobs were its own
*) emit_nodes ;;
esac
cd "$output" || fail failed "the directory $output cannot be entered"
whole=0
if [ "$all" = 1 ] || exclusive "$workflow"; then whole=1; fi
if [ -n "$collected" ] && [ "$collected" != "$(listing "$whole" "$workflow" | checksum)" ]; then
  refuse "files in $output have changed since they were collected. Collect them again"
fi
# of one that was killed; should the disk be full, to make room comes first
case $found:$exit_code in stale:* | exited: | exited:137) keep_nodes || : ;; esac
if exclusive "$workflow" || made_by_start; then remove_whole; else remove_own_files; fi
forget_record
finish deleted
