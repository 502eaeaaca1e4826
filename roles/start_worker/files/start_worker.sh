# shellcheck shell=sh
# start_worker.sh WORKFLOW SERVER OUTPUT_DIR EXECUTABLE VERSION STARTED_BY [TORC_RUN_OPTION]...
# Starts a detached worker, unless one is running. The server's address and credentials are in the environment.
workflow=$1 server=$2 output_dir=$3 executable=$4 version=$5 started_by=$6
shift 6
ca_pem=${_torc_ca_pem:-}
unset _torc_ca_pem

already_running() {
  identify "$workflow" "$server" "$output_dir"
  case $found in
  running)
    emit_worker
    emit_lost_nodes
    finish already_running
    ;;
  # it may have been killed, and then the server still counts its jobs as running
  exited | stale)
    [ "$exit_code" = 0 ] || end_left_behind
    emit_nodes
    ;;
  none) emit_lost_nodes ;;
  esac
}

# The server will be told that the jobs of a worker that was killed have ended, and may give them to another one.
end_left_behind() {
  r_session=${r_session:-0}
  roster=$(left_behind)
  r_session=0
  [ -n "$roster" ] || return 0
  signal_remaining TERM
  deadline=$(($(monotonic) + 5))
  until_gone some_remain && return
  deadline=$(($(monotonic) + 5))
  stop_by_force || fail failed "the worker that ran before was killed, and processes of its jobs do not end \
($(remaining | tr '\n' ' '))"
}

# The output directory may hold other people's files: a marker says which workflows use it and, from the first moment,
# whether we made it.
prepare_output() {
  absolute "$output_dir"
  output=$located
  created=0
  if [ ! -e "$output" ]; then
    mkdir -p "$output" 2>/dev/null && created=1
  fi
  [ -d "$output" ] || fail failed "the output directory $output cannot be made or is not a directory"
  output=$(cd "$output" && pwd -P && printf x) || fail failed "the output directory $located cannot be entered"
  output=${output%"$nl"x}
  cd "$output" || fail failed "the output directory $output cannot be entered"
  if taken "$workflow" "$server"; then
    use_own_subdirectory
  fi
  [ "$created" = 0 ] || mark 'made created=1'
}

# mark LINE: the first must not begin where a full disk cut off the last one
mark() {
  mark_line=$1
  [ -z "$(tail -c 1 "$output/.torc-remote" 2>/dev/null)" ] || mark_line=$nl$1
  { printf '%s\n' "$mark_line" >>"$output/.torc-remote"; } 2>/dev/null ||
    fail failed "the output directory $output cannot be written to (is the disk full?)"
}

use_own_subdirectory() {
  [ -d "server-$server" ] || printf 'holds %s %s %s\n' "$workflow" "$server" "$name" >>.torc-remote
  output=$output/server-$server
  created=1
  mkdir -p "$output" || fail failed "the output directory $output cannot be made"
}

# The CA goes to a private file, as the worker takes it by name.
prepare_ca() {
  [ -n "$ca_pem" ] || return 0
  (umask 077 && printf '%s\n' "$ca_pem" >"$dir/ca.pem") || fail failed "cannot write $dir/ca.pem"
  export TORC_TLS_CA_CERT="$dir/ca.pem"
}

prepare_log() {
  log=$output/torc_worker_${workflow}_${name}_$server.log
  { printf '' >>"$log"; } 2>/dev/null || fail failed "cannot write the log $log"
  offset=$(wc -c <"$log" | tr -d ' ')
}

prepare_record() {
  [ "$exit_code" = 0 ] || keep_nodes || fail failed "cannot write $dir/lost (is the disk full?)"
  know_boot
  {
    record_line boot "$boot" && record_line machine "$machine" && record_line version "$version" &&
      record_line executable "$torc" && record_line output "$output" && record_line log "$log" &&
      record_line offset "$offset" && record_line since "$(now)" && record_line by "$started_by"
  } >"$dir/record.new" 2>/dev/null || fail failed "cannot write $dir/record.new (is the disk full?)"
  rm -f "$dir/record" "$dir"/exit.* 2>/dev/null
  [ ! -e "$dir/record" ] || fail failed "cannot replace the record $dir/record"
}

# The worker's parent and leader of its session. It writes the record while it alone can reap the worker, so
# the recorded process is the worker beyond doubt, even when this script is cut off. Its text goes to `sh -s` by a
# pipe: a here-document would need a temporary file, and the disk may be full.
# shellcheck disable=SC2016 # expanded by that shell
parent='{
dir=$1 ended=$2 marker=$3; shift 3
trap : HUP INT TERM
in_account "$@" </dev/null & pid=$!
if [ -r "/proc/$pid/stat" ]; then
  read -r stat <"/proc/$pid/stat"
  case $stat in *") "*) ;; *) stat=$(cat "/proc/$pid/stat") ;; esac
  start=$(set -- ${stat##*) }; shift 19; echo "$1")
  read -r stat <"/proc/$$/stat"
  session=$(set -- ${stat##*) }; echo "$4")
else
  start=$(LC_ALL=C ps -o lstart= -p "$pid"); start=$(set -- $start; printf "%s" "$*" | tr " :" "__")
  session=$(set -- $(LC_ALL=C ps -o pgid= -p "$$"); echo "$1")
fi
# without a session of its own only the descendants are known to be the worker
[ "$session" = "$$" ] || session=0
if printf "pid=%s\nstart=%s\nsession=%s\n" "$pid" "$start" "$session" >>"$dir/record.new"
then mv "$dir/record.new" "$dir/record"
else kill -KILL "$pid"; fi
while :; do
  wait "$pid"; code=$?
  [ "$code" -gt 128 ] && kill -0 "$pid" 2>/dev/null || break
done
echo "$code" >"$dir/exit.new.$pid" && mv "$dir/exit.new.$pid" "$dir/exit.$pid"
echo "$ended" >>"$marker"
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
  cd "$library_home" || fail failed "cannot enter the home directory $library_home"
  # in the environment of the worker and of all that it starts, should the record be lost
  _TORC_REMOTE_WORKER=$dir
  export _TORC_REMOTE_WORKER
  # jobs expect stdin to be /dev/null; the pipe is the program of the parent only
  printf '%s\n' "$torc_account" "$parent" | own_session /bin/sh -s "$dir" "ended $workflow $server $name" "$output/.torc-remote" \
    "$torc" run "$workflow" --output-dir "$output" "$@" >>"$log" 2>&1 &
  launch_tries=0
  until [ -e "$dir/record" ] || [ "$launch_tries" -ge 100 ]; do
    launch_tries=$((launch_tries + 1))
    nap 0.05
  done
  load_record "$dir/record" || fail failed "the worker could not be recorded in $dir (is the disk full?). \
It was not started"
}

[ -n "$library_home" ] || fail failed "the account's home directory ${HOME:-} does not exist on this host"
locate "$workflow" "$server"
(umask 077 && mkdir -p "$dir") 2>/dev/null || fail failed "cannot create $dir (is the home directory writable?)"
lock
already_running
find_torc "$executable"
[ -n "$version" ] || torc_version
outlive_logout
prepare_output
prepare_ca
prepare_log
prepare_record
mark "started $workflow $server $name created=0"
launch "$@"
changed
emit_worker
finish started
