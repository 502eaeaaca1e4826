# shellcheck shell=sh
# A worker's output directory: which one it is and what in it belongs to a workflow.
#
# Start leaves .torc-remote there: a line `made created=1` when it makes the directory, `started ID KEY NAME created=0` for
# each start (created=1 in earlier versions, which wrote no `made`), and `ended ID KEY NAME` for each end. A full disk may
# cut a line off. The directory is a workflow's own when start made it and no other workflow was ever there; otherwise
# only the files count that torc names after the workflow (torc wire 4.4). NAME is the worker's: machines may share the
# directory without sharing a home, so it is here that they learn of each other.
#
# Workflows of two databases may have one number, and torc's file names with it: the second gets a subdirectory
# server-KEY, told by a line `holds ID KEY NAME` in the marker above.

# locate_output WORKFLOW KEYS OUTPUT_DIR: sets `output`, the real path; an empty OUTPUT_DIR means the recorded one.
# Fails where it does not exist.
locate_output() {
  identify "$1" "$2" "$3"
  if [ -n "$3" ]; then
    absolute "$3"
    [ ! -d "$located/server-$key" ] || located=$located/server-$key
  elif [ -n "$r_output" ]; then
    located=$r_output
  else
    absolute torc_output
  fi
  output=$located
  [ -d "$located" ] || return 1
  output=$(cd "$located" 2>/dev/null && pwd -P && printf x) || fail failed "the directory $located cannot be entered"
  output=${output%"$nl"x}
}

# own_files WORKFLOW FIND_ACTION...: the files that torc named after the workflow ('[0-9]*': after any)
own_files() {
  own_id=$1
  shift
  ! taken "$own_id" || return 0
  find . \( -path "./torc_worker_$own_id.*" -o -path "./torc_worker_${own_id}_*" -o -path "./job_runner_*_wf${own_id}_*" \
    -o -path "./job_stdio/job_wf${own_id}_*" -o -path "./resource_utilization/resource_metrics_wf${own_id}_*" \
    -o -path "./offline_journal/offline_results_wf${own_id}_*" \) ! -type d "$@"
}

# exclusive WORKFLOW: did start make the directory, for this workflow alone?
exclusive() {
  [ -f .torc-remote ] && awk -v id="$1" -v key="$key" -v old="$old_key" '
    $1 != "made" && !($2 == id && ($3 == key || $3 == old)) { other = 1 }
    $NF == "created=1" { created = 1 }
    END { exit !(created && !other) }' .torc-remote
}

# taken WORKFLOW: is the directory used for the workflow of this number of another database, so that what bears the
# number is that one's?
taken() {
  [ -f .torc-remote ] && awk -v id="$1" -v key="$key" -v old="$old_key" '
    $1 == "started" && $2 == id { if ($3 == key || $3 == old) own = 1; else other = 1 }
    END { exit !(other && !own) }' .torc-remote
}

# selected_files WHOLE WORKFLOW FIND_ACTION...
selected_files() {
  selected_whole=$1 selected_id=$2
  shift 2
  if [ "$selected_whole" = 1 ]; then
    find . ! -type d ! -path ./.torc-remote ! -path './.torc-remote.*' "$@"
  else
    own_files "$selected_id" "$@"
  fi
}

# unreadable WHOLE WORKFLOW: the selected files and the directories that cannot be read. Not every tar tells this
# apart from a file that changed while it was read.
unreadable() {
  # shellcheck disable=SC2016 # expanded by that shell
  {
    selected_files "$1" "$2" -type f -exec sh -c 'for file; do [ -r "$file" ] || printf "%s\n" "$file"; done' sh {} +
    if [ "$1" = 1 ]; then find . -type d; else find . ./job_stdio ./resource_utilization ./offline_journal -prune -type d; fi |
      while IFS= read -r unreadable_dir; do
        [ -r "$unreadable_dir" ] && [ -x "$unreadable_dir" ] || printf '%s\n' "$unreadable_dir"
      done
  } 2>/dev/null
}

# listing WHOLE WORKFLOW: path, size and time of change of the selected files
listing() {
  if stat -c %n . >/dev/null 2>&1; then
    selected_files "$1" "$2" -exec stat -c '%n %s %y' {} +
  else
    selected_files "$1" "$2" -exec stat -f '%N %z %Fm' {} +
  fi | LC_ALL=C sort
}

# note_end WORKFLOW: this machine's worker has ended, which its parent may not have lived to say
note_end() (
  # by now the name may lead to another user's directory
  cd "$r_output" 2>/dev/null && owned . && [ -f .torc-remote ] && plain_file .torc-remote || exit 0
  [ -z "$(unended .torc-remote "$1 $key $name")" ] ||
    printf 'ended %s %s %s\n' "$1" "$key" "$name" >>.torc-remote
)

# unended MARKER [WORKER]: a line "ID KEY NAME" for each worker (or this one) whose end is not known
unended() {
  awk -v only="${2:-}" '
    $1 == "started" && NF < 5 || NF < 4 { next }
    { worker = $2 " " $3 " " $4; last[worker] = $1 }
    END { for (worker in last) if (last[worker] == "started" && (only == "" || worker == only)) print worker }' "$1"
}

# within_output DIR: is it the directory or below it?
within_output() {
  case $1/ in
  "${output%/}"/*) return 0 ;;
  esac
  return 1
}

# live_jobs ALL: the processes of this worker, 1: of every worker of the account that was started in the directory: one
# that was killed, or a job, may have left them running
live_jobs() {
  ours | numbers
  [ "$1" = 1 ] || return 0
  for live_dir in "$state_home/$machine"/*; do
    load_record "$live_dir/record" && within_output "$r_output" || continue
    ours_of "$live_dir" "${r_session:-0}" 0 0 | numbers
  done
}

# running_there: what is said of the workers, of whatever workflow, that may be writing to the directory
running_there() {
  live_workers | LC_ALL=C sort -u | awk -v id="$1" -v key="$key" -v old="$old_key" '
    {
      who = $0
      sub(/^[^ ]* [^ ]* /, "", who)
      if (who in seen) next
      seen[who] = 1
      elsewhere = $1 == id && $2 != "~" && $2 != key && $2 != old
      workers = workers separator who " of workflow " $1 (elsewhere ? " of another server" : "")
      command = "torc remote stop " $1 (elsewhere ? " with the URL of that server" : "")
      if (!(command in seen)) commands = commands separator command
      seen[command] = 1
      separator = ", "
    }
    END { if (workers != "") print "a worker is still running there (" workers "). Stop it first: " commands }'
}

# live_workers: a line "WORKFLOW KEY WHO" for each of them; ~ for a key that nothing tells
live_workers() {
  for live_dir in "$state_home"/*/*; do
    load_record "$live_dir/record" && within_output "$r_output" && [ ! -e "$live_dir/exit.$r_pid" ] || continue
    live_machine=${live_dir%/*} live_machine=${live_machine##*/}
    live_id=${live_dir##*/} live_key=${live_dir##*-}
    if [ "$live_machine" != "$machine" ]; then
      printf '%s %s PID %s on %s\n' "${live_id%-*}" "$live_key" "$r_pid" "$live_machine"
    elif know_host && ! recorded_here || [ "$r_boot" = "$boot" ] && alive "$r_pid" "$r_start"; then
      printf '%s %s PID %s\n' "${live_id%-*}" "$live_key" "$r_pid"
    fi
  done
  for live_pid in $(marks '' | awk '{ print $2 }'); do # their records may be lost
    if runs_workflow "$live_pid" '' && within_output "$(started_in "$live_pid")"; then
      printf '%s ~ PID %s\n' "$(words_of "$live_pid" | sed -n '/^run$/ { n; p; q; }')" "$live_pid"
    fi
  done
  [ ! -f "$output/.torc-remote" ] || unended "$output/.torc-remote" | while read -r other_id other_key other_name; do
    [ "$other_name" = "$name" ] || printf '%s %s one on %s\n' "$other_id" "$other_key" "$other_name"
  done
  for live_file in "$output"/torc_worker_*.pid; do
    live_id=${live_file##*/torc_worker_} live_id=${live_id%.pid}
    [ -r "$live_file" ] && is_number "$live_id" || continue
    identify_native "$live_id" "$output"
    [ "$found" != running ] || printf '%s ~ PID %s\n' "$live_id" "$r_pid"
  done
}
