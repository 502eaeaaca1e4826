# shellcheck shell=sh
# start_worker.sh WORKFLOW KEYS KNOWN OUTPUT_DIR EXECUTABLE VERSION STARTED_BY [TORC_RUN_OPTION]...
# Starts a detached worker, unless one is running. The server's address and credentials are in the environment.
# KNOWN: see is_foreign.
workflow=$1 keys=$2 known=$3 output_dir=$4 executable=$5 version=$6 started_by=$7
shift 7
ca_pem=${_torc_ca_pem:-}
unset _torc_ca_pem

already_running() {
  identify "$workflow" "$keys" "$output_dir"
  refuse_unknown
  case $found in
  running)
    ! is_foreign "$known" || fail foreign "$(foreign_worker). Stop it from there first"
    if former_run "$present_run"; then
      end_former
    else
      emit_worker
      emit_held_nodes
      finish already_running
    fi
    ;;
  # it may have been killed, and then the server still counts its jobs as running
  exited | stale)
    [ "$exit_code" = 0 ] || end_left_behind
    emit_nodes
    ;;
  none)
    end_left_behind
    emit_lost_nodes
    ;;
  esac
}

# end_former: a worker of a run before this one is about to leave, as soon as it looks. It gets no more jobs, and what
# its jobs still do counts no more.
end_former() {
  roster=$(ours)
  deadline=$(($(monotonic) + 15))
  stop_gently || {
    deadline=$(($(monotonic) + 5))
    stop_by_force
  } || fail busy "the worker of run $run (PID $r_pid), which should give way to one of run $present_run, does not end \
($(named "$(remaining)"))"
  note_end "$workflow"
  emit_nodes
  emit reason "in place of the worker of run $run (PID $r_pid)"
}

# adopt: what an earlier version kept under a name made of the server's URL; its worker has ended
adopt() {
  [ "$key" != "${keys%% *}" ] || return 0
  [ -z "$r_output" ] || note_end "$workflow"
  adopted=$state_home/$machine/$workflow-${keys%% *}
  mv "$dir" "$adopted" || fail failed "cannot rename $dir to $adopted"
  dir=$adopted key=${keys%% *} held_worker=$adopted/lock
}

# The server will be told that the jobs of a worker that was killed have ended, and may give them to another one.
end_left_behind() {
  roster=$(ours)
  [ -n "$roster" ] || return 0
  signal_remaining TERM
  deadline=$(($(monotonic) + 5))
  until_gone some_remain && return
  deadline=$(($(monotonic) + 5))
  stop_by_force || fail failed "the worker that ran before was killed, and processes of its jobs do not end \
($(named "$(remaining)"))"
}

# prepare_output: sets `output`, the path of the output directory, and `created`, 1 where we made it. The directory may
# hold other people's files: a marker says which workflows use it and, from the first moment, whether we made it.
prepare_output() {
  absolute "$output_dir"
  while [ "$located" != / ] && [ "$located" != "${located%/}" ]; do located=${located%/}; done
  output=$located
  own_links "$output" || refuse_output
  # another command may be deleting it at the same moment
  until make_output && lock_output; do :; done
  [ "$created" = 0 ] || mark 'made created=1'
  ! taken "$workflow" || use_own_subdirectory
}

# make_output: sets `created` where it did not exist. Of several that make it at the same moment only one did.
make_output() {
  output=$located created=0
  if [ ! -e "$output" ]; then
    (umask go-w && mkdir -p "${output%/*}/" && mkdir "$output") 2>/dev/null && created=1
  fi
  [ -d "$output" ] || fail failed "the output directory $output cannot be made or is not a directory"
  output=$(cd "$output" && pwd -P && printf x) || fail failed "the output directory $located cannot be entered"
  output=${output%"$nl"x}
  cd "$output" || fail failed "the output directory $output cannot be entered"
  own_alone . || refuse_output
}

# mark LINE: the first must not begin where a full disk cut off the last one
mark() {
  mark_line=$1
  plain_file "$output/.torc-remote" || fail failed "$output/.torc-remote is no regular file"
  [ -z "$(tail -c 1 "$output/.torc-remote" 2>/dev/null)" ] || mark_line=$nl$1
  { printf '%s\n' "$mark_line" >>"$output/.torc-remote"; } 2>/dev/null ||
    fail failed "the output directory $output cannot be written to (is the disk full?)"
}

refuse_output() {
  fail failed "the output directory $output $foreign, so others could exchange what the worker writes there. \
Name a directory of your own with --output-dir"
}

# use_own_subdirectory: sets `output` and `created` for a directory below, as another server's workflow uses this one
use_own_subdirectory() {
  [ -d "server-$key" ] || mark "holds $workflow $key $name"
  output=$output/server-$key
  (umask go-w && mkdir -p "$output") || fail failed "the output directory $output cannot be made"
  mark 'made created=1'
}

# fail_marked STATE MESSAGE: as `fail`, once the start is in the marker: no worker runs here
fail_marked() {
  r_output=$output
  note_end "$workflow" 2>/dev/null
  fail "$@"
}

# The CA goes to a private file, as the worker takes it by name.
prepare_ca() {
  [ -n "$ca_pem" ] || return 0
  rm -f "$dir/ca.pem"
  (umask 077 && printf '%s\n' "$ca_pem" >"$dir/ca.pem") || fail failed "cannot write $dir/ca.pem"
  export TORC_TLS_CA_CERT="$dir/ca.pem"
}

# prepare_log: sets `log`, the worker's launch log, and `offset`, its size before this start
prepare_log() {
  log=$output/torc_worker_${workflow}_${name}_$key.log
  plain_file "$log" || fail failed "the log $log is no regular file"
  { printf '' >>"$log"; } 2>/dev/null || fail failed "cannot write the log $log"
  offset=$(wc -c <"$log" | tr -d ' ')
}

# prepare_record: sets `launch`, the name of this launch, and makes its ticket (see lock.sh), which holds the first lines
# of the record
prepare_record() {
  [ "$exit_code" = 0 ] || keep_nodes || fail failed "cannot write $dir/lost (is the disk full?)"
  know_host
  launch=$$-$(now)
  {
    mkdir "$dir/ticket.$launch.new" &&
      {
        record_line boot "$boot" && record_line place "$host_id" && record_line machine "$machine" && record_line version "$version" &&
          record_line executable "$torc" && record_line output "$output" && record_line log "$log" &&
          record_line offset "$offset" && record_line since "$(now)" && record_line by "$started_by" &&
          record_line run "$present_run"
      } >"$dir/ticket.$launch.new/record"
  } 2>/dev/null || {
    rm -rf "$dir/ticket.$launch.new"
    fail failed "cannot write the worker's record in $dir (is the disk full?)"
  }
  rm -f "$dir/record" "$dir"/exit.* "$dir/stopping" 2>/dev/null
  [ ! -e "$dir/record" ] || fail failed "cannot replace the record $dir/record"
}

# The worker's parent and leader of its session. It writes the record while it alone can reap the worker, so
# the recorded process is the worker beyond doubt, even when this script is cut off. Its text goes to `sh -s` by a
# pipe: a here-document would need a temporary file, and the disk may be full.
# The mark is in the environment of the worker and of all that it starts, but not in this one's.
# shellcheck disable=SC2016 # expanded by that shell
parent='{
dir=$1 launch=$2 ended=$3 output=$4; shift 4
trap : HUP INT TERM
start_of() {
  if [ -r "/proc/$1/stat" ]; then
    read -r stat <"/proc/$1/stat"
    case $stat in *") "*) ;; *) stat=$(cat "/proc/$1/stat") ;; esac
    set -- ${stat##*) }; session=$4; shift 19; start=$1
  else
    session=$(set -- $(LC_ALL=C ps -o pgid= -p "$1"); echo "$1")
    start=$(LC_ALL=C ps -o lstart= -p "$1"); start=$(set -- $start; printf "%s" "$*" | tr " :" "__")
  fi
}
start_of "$$"
taken=$dir/taken.$launch
{ printf "%s %s\n" "$$" "$start" >"$dir/ticket.$launch/parent" && mv "$dir/ticket.$launch" "$taken"; } 2>/dev/null || exit 1
# without a session of its own only the descendants are known to be the worker
[ "$session" = "$$" ] || session=0
leads=$session
{ export _TORC_REMOTE_WORKER="$dir"; in_account "$@"; } </dev/null & pid=$!
start_of "$pid"
printf "pid=%s\nstart=%s\nsession=%s\n" "$pid" "$start" "$leads" >>"$taken/record" &&
  mv "$taken/record" "$dir/record" || kill -KILL "$pid"
rm -rf "$taken"
while :; do
  wait "$pid"; code=$?
  [ "$code" -gt 128 ] && kill -0 "$pid" 2>/dev/null || break
done
echo "$code" >"$dir/exit.new.$pid" && mv "$dir/exit.new.$pid" "$dir/exit.$pid"
# by now the name may lead to the directory of another user
cd "$output" && [ "$(find . -prune -user "$(id -u)")" = . ] && [ ! -L .torc-remote ] && echo "$ended" >>.torc-remote
exit 0
}'

# own_session COMMAND...: runs it as the leader of a new session where the host has a way to make one
# shellcheck disable=SC2086 # `lasting` is several words or none
own_session() {
  if have setsid; then
    exec nohup $lasting setsid "$@"
  elif have perl; then
    exec nohup $lasting perl -e 'use POSIX; POSIX::setsid(); exec @ARGV' -- "$@"
  else
    exec nohup $lasting "$@"
  fi
}

launch() {
  cd "$library_home" || fail_marked failed "cannot enter the home directory $library_home"
  mv "$dir/ticket.$launch.new" "$dir/ticket.$launch" || fail_marked failed "cannot rename $dir/ticket.$launch.new"
  # jobs expect stdin to be /dev/null; the pipe is the program of the parent only
  printf '%s\n' "$torc_account" "$parent" | own_session /bin/sh -s "$dir" "$launch" "ended $workflow $key $name" \
    "$output" \
    "$torc" run "$workflow" --output-dir "$output" "$@" >>"$log" 2>&1 &
  await_record "$!"
  load_record "$dir/record" || fail_marked failed "the worker could not be recorded in $dir (is the disk full?). \
It was not started"
}

# await_record LAUNCHER: until the worker is recorded. A launch that takes too long is withdrawn, so that it can't come
# to a worker later, unnoticed; so is one whose programs have ended.
await_record() {
  launch_end=$(($(monotonic) + launch_patience))
  until [ -e "$dir/record" ]; do
    nap 0.05
    if [ -d "$dir/ticket.$launch" ]; then
      lives "$1" || hurry
      [ "$(monotonic)" -lt "$launch_end" ] || give_up
    elif being_launched; then
      [ "$(monotonic)" -lt "$((launch_end + launch_patience))" ] ||
        fail busy "the worker's start takes long: PID $launch_pid has not recorded it yet. Run the command again later, it looks first"
    elif [ ! -d "$dir/taken.$launch/" ] || ! lives "$1"; then
      # the parent has written the record or it never will
      return
    fi
  done
}

# hurry: the launcher has ended; what it may have put in the background gets two seconds
hurry() {
  [ "$launch_end" -le "$(($(monotonic) + 2))" ] || launch_end=$(($(monotonic) + 2))
}

give_up() {
  withdraw_launch || return 0
  launch_said=$(tail -c "+$(byte_after "$offset")" "$log" | tail -n 1)
  fail_marked failed "the worker's launch was withdrawn, as it had not begun after $launch_patience s (a stalled disk, heavy load?)\
${launch_said:+. Last line: $launch_said}. Nothing was started and nothing will start later"
}

# make_state_dir: another command may be deleting it at the same moment
make_state_dir() {
  locate "$workflow" "$keys"
  (umask 077 && mkdir -p "$dir") 2>/dev/null || fail failed "cannot create $dir (is the home directory writable?)"
  own_alone "$dir" || fail failed "the worker's directory $dir $foreign"
}

launch_patience=25
present_run=$(printf '%s\n' "$known" | sed -n 's/^run //p')
[ -n "$library_home" ] || fail failed "the account's home directory ${HOME:-} does not exist on this host"
[ -n "${keys%% *}" ] || fail failed "the server does not know workflow $workflow"
make_state_dir
until lock; do make_state_dir; done
settle_launch 20 || fail busy "an earlier command is starting this worker just now (PID $launch_pid). \
Run the command again later, it looks first"
already_running
adopt
find_torc "$executable"
[ -n "$version" ] || torc_version
outlive_logout
prepare_output
prepare_log
prepare_ca
prepare_record
mark "started $workflow $key $name created=0"
launch "$@"
changed
emit_worker
finish started
