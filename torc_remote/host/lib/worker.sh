# shellcheck shell=sh
# What a worker is on a host: where its record and its log are, how it is identified.
# Every script of the collection is sent together with this library; see torc_remote/ssh/script.py for the frame.
# POSIX sh: dash, busybox ash, bash, mksh and zsh as sh. Nothing here writes to the terminal but `emit`.
#
# A worker's state directory is STATE/MACHINE/WORKFLOW-KEY, so that homes may be shared between machines. The key is the
# workflow's own, whatever the server is called (see `locate`).
#   record   key=value lines: who the worker is (see load_record)
#   exit.PID its exit code, written by its parent when it ends
#   lock     a symbolic link that names the process which is starting or stopping it (see lock.sh, also for tickets)
#   stopping names the worker that a stop has asked to end (see nodes.sh)
#   lost     compute nodes of earlier workers, which the server may not know to be gone (see nodes.sh)

nl='
'
library_home=$(cd "${HOME:-/}" 2>/dev/null && pwd -P) || library_home=
state_home=${XDG_STATE_HOME:-$library_home/.local/state}/torc-remote
proc=/proc
machine=''

# --- answers -------------------------------------------------------------------------------------------------

# print_lines PREFIX TEXT: each line of the text, after the prefix
print_lines() {
  case $2 in
  *"$nl"*) printf '%s\n' "$2" | sed "s/^/$1/" ;;
  *) printf '%s%s\n' "$1" "$2" ;;
  esac
}

# emit KEY VALUE: one marked line of the answer for each line of the value
emit() { print_lines "$torc_mark $1=" "$2"; }

# emit_lines KEY: what stdin holds, without NUL bytes and with a bound on each line
emit_lines() {
  tr -d '\000' | cut -b 1-1000 | sed "s/^/$torc_mark $1=/"
}

# finish STATE [MESSAGE]: the end of every script that did what it was asked for
finish() {
  emit state "$1"
  [ -z "${2:-}" ] || emit msg "$2"
  emit end 1
  exit 0
}

# fail STATE MESSAGE: the end of every script that did not
fail() {
  emit failed 1
  finish "$1" "$2"
}

changed() { emit changed 1; }

# --- small tools ---------------------------------------------------------------------------------------------

have() { command -v "$1" >/dev/null 2>&1; }

nap() { sleep "$1" 2>/dev/null || sleep 1; }

now() { date +%s; }

# monotonic: seconds by a clock that nobody sets, where the system shows one
monotonic() {
  if [ -r "$proc/uptime" ]; then
    read -r m_uptime m_idle <"$proc/uptime"
    echo "${m_uptime%%.*}"
  else
    now
  fi
}

is_number() {
  case $1 in
  '' | *[!0-9]*) return 1 ;;
  esac
}

# checksum: the sha256 of what stdin holds; fails where no program can tell
checksum() {
  if have sha256sum; then
    c_sum=$(sha256sum)
  elif have shasum; then
    c_sum=$(shasum -a 256)
  elif have sha256; then
    c_sum=$(sha256 -q)
  elif have openssl; then
    c_sum=$(openssl dgst -sha256 -r)
  else
    return 1
  fi
  [ -n "$c_sum" ] && printf '%s\n' "${c_sum%% *}"
}

# absolute PATH: sets `located`; a relative one counts from the home, as a worker's working directory is the home.
# Set in a variable since $(...) would eat newlines at the end of a name.
absolute() {
  case $1 in
  /*) located=$1 ;;
  '~') located=$library_home ;;
  '~/'*) located=$library_home/${1#\~/} ;;
  *) located=$library_home/$1 ;;
  esac
}

# --- processes -----------------------------------------------------------------------------------------------

# inspect PID: sets p_state, p_parent, p_session and p_start; fails where there is no such process.
# The name in /proc/PID/stat may hold anything, even a newline: what counts stands behind the last parenthesis.
inspect() {
  is_number "$1" || return 1
  if [ -r "$proc/self/stat" ]; then
    { read -r p_line <"$proc/$1/stat"; } 2>/dev/null || return 1
    case $p_line in
    *') '*) ;;
    *) p_line=$(cat "$proc/$1/stat" 2>/dev/null) || return 1 ;;
    esac
    # shellcheck disable=SC2086 # split into fields on purpose
    set -- ${p_line##*) }
    p_state=$1 p_parent=$2 p_session=$4
    shift 19
    p_start=$1
  else
    p_line=$(LC_ALL=C ps -o stat= -o ppid= -o pgid= -o lstart= -p "$1" 2>/dev/null) || return 1
    # shellcheck disable=SC2086 # split into fields on purpose
    set -- $p_line
    [ $# -gt 3 ] || return 1
    p_state=$1 p_parent=$2 p_session=$3
    shift 3
    p_start=$(printf '%s' "$*" | tr ' :' '__')
  fi
}

# lives PID: as `inspect`, but a zombie is dead
lives() {
  inspect "$1" || return 1
  case $p_state in
  Z* | X*) return 1 ;;
  esac
}

# alive PID START: the process that was recorded, and not another one that has its number now
alive() { lives "$1" && [ "$p_start" = "$2" ]; }

# all_processes: a line "PID PARENT SESSION START" for each that lives. In one go, since a shell reads byte by byte; grep
# puts the file's name before each line, so that no process can pass for another by a newline in its name.
all_processes() {
  if [ -r "$proc/self/stat" ]; then
    LC_ALL=C grep -s '' "$proc"/[0-9]*/stat | LC_ALL=C awk '
      {
        pid = $0
        sub(/\/stat:.*/, "", pid)
        sub(/.*\//, "", pid)
        sub(/.*\)/, "")
        split($0, field)
        if (NF >= 20) process[pid] = field[1] !~ /[ZX]/ ? pid " " field[2] " " field[4] " " field[20] : ""
      }
      END { for (pid in process) if (process[pid] != "") print process[pid] }'
  else
    LC_ALL=C ps -A -o stat= -o pid= -o ppid= -o pgid= -o lstart= |
      awk '$1 !~ /^[ZX]/ { start = $5; for (i = 6; i <= NF; i++) start = start "_" $i; gsub(":", "_", start)
        print $2, $3, $4, start }'
  fi
}

# --- a worker's record ---------------------------------------------------------------------------------------

# plain_name TEXT: as `plain_text`. What is long is cut, since the names of files have more parts and 255 bytes at most.
plain_name() {
  plain_text "$1"
  [ "${#plain}" -le 100 ] ||
    plain=$(printf '%.80s-%s' "$plain" "$(printf '%s' "$plain" | cksum | cut -d ' ' -f 1)")
}

# plain_text TEXT: sets `plain`, the text with _ for what does not belong in a file's name
plain_text() {
  plain=$1
  case $1 in
  # each by itself, since a range holds other letters in other locales
  *[!ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-]*)
    plain=$(printf '%s\n' "$1" | LC_ALL=C tr -c 'A-Za-z0-9._\n-' _)
    ;;
  esac
}

# locate WORKFLOW KEYS: sets `dir`, the worker's state directory, `key`, and `name`, which tells the workers apart that
# share an output directory (the worker registers under it; torc wire 4.4).
# KEYS is the workflow's key and, after a space, the one that earlier versions made of the server's URL (`old_key`): it
# counts where there is only a worker of that kind. Without a key (the server does not know the workflow any more) it is
# that of the only workflow with this number in the account.
locate() {
  if [ -z "$machine" ]; then
    plain_name "$(uname -n)"
    machine=$plain
    plain_name "${TORC_WORKER_NAME:-$machine}"
    name=$plain
  fi
  key=${2%% *} old_key=''
  case $2 in *' '*) old_key=${2#* } ;; esac
  [ -n "$key" ] || locate_only "$1"
  dir=$state_home/$machine/$1-$key
  if [ -n "$old_key" ] && [ ! -d "$dir" ] && [ -d "$state_home/$machine/$1-$old_key" ] && ! predates "$state_home/$machine/$1-$old_key/record"; then
    key=$old_key dir=$state_home/$machine/$1-$old_key
  fi
  [ -d "$dir" ] || locate_renamed "$1"
}

# predates RECORD: was that worker started before the workflow was made, so that it is an earlier database's? The key
# begins with that time, in milliseconds; clocks may differ by five minutes.
predates() {
  load_record "$1" && awk -v since="$r_since" -v key="$key" 'BEGIN { exit !(since != "" && since + 300 < key / 1000) }'
}

# locate_only WORKFLOW: sets `key` to that of the only workflow with this number
locate_only() {
  for l_dir in "$state_home/$machine/$1"-*; do
    if [ -d "$l_dir" ]; then key=${key:+$key, }${l_dir##*-}; fi
  done
  case $key in
  *,*) fail ambiguous "the server does not know this workflow any more, and workers of several workflows with its number \
were started here. Name the one that you mean as torc_workflow_key: $key" ;;
  esac
  key=${key:-unknown}
}

# load_record FILE: sets r_pid, r_start, r_boot, r_place (empty in records of earlier versions), r_session, r_version,
# r_output, r_log, r_offset, r_since, r_run, r_native; fails where the file is missing or names no process
load_record() {
  r_pid='' r_start='' r_boot='' r_place='' r_session='' r_version='' r_output='' r_log='' r_offset=0 r_since='' r_run=''
  r_native=''
  [ -r "$1" ] || return 1
  while IFS= read -r r_line; do
    r_value=${r_line#*=}
    case $r_line in
    pid=*) r_pid=$r_value ;;
    start=*) r_start=$r_value ;;
    boot=*) r_boot=$r_value ;;
    place=*) r_place=$r_value ;;
    session=*) r_session=$r_value ;;
    version=*) r_version=$r_value ;;
    output=*) r_output=${r_output:+$r_output$nl}$r_value ;;
    log=*) r_log=${r_log:+$r_log$nl}$r_value ;;
    offset=*) r_offset=$r_value ;;
    since=*) r_since=$r_value ;;
    run=*) r_run=$r_value ;;
    esac
  done <"$1"
  is_number "$r_pid" && is_number "$r_offset" && [ "$r_pid" -gt 1 ] && [ -n "$r_start" ]
}

# record_line KEY VALUE: as `emit`, for the record
record_line() { print_lines "$1=" "$2"; }

# identify WORKFLOW KEYS OUTPUT_DIR: sets `found` and the r_ variables.
#   running   the recorded process lives and is proven to be it
#   exited    it has ended; exit_code is empty where nobody saw the end
#   stale     its number belongs to another process now, or the machine was booted since; or it is not recorded yet
#   unknown   it was recorded where its number means another process: on another machine or in another container of this
#             name, which shares the home. It may live there
#   none      there is no record
identify() {
  locate "$1" "$2"
  found=none exit_code='' r_output='' r_session=0
  [ ! -e "$dir/record" ] || identify_recorded
  case $found:$exit_code in
  running:* | exited:?* | unknown:*) return 0 ;;
  esac
  identify_unrecorded "$1" || identify_launched || [ "$found" != none ] || identify_native "$1" "$3"
}

identify_launched() {
  [ "$found" = none ] && being_launched || return 1
  found=stale stale_reason="it is being started just now (PID $launch_pid)"
}

identify_recorded() {
  if ! load_record "$dir/record"; then
    found=stale stale_reason="its record $dir/record is unreadable"
    return
  fi
  [ ! -r "$dir/exit.$r_pid" ] || read -r exit_code <"$dir/exit.$r_pid" || :
  know_host
  if [ -n "$exit_code" ]; then
    found=exited
  elif ! recorded_here; then
    found=unknown unknown_reason="whether the worker runs is unknown: it was started on another machine or in another \
container that has this name and home (PID $r_pid there)"
  elif [ "$r_boot" != "$boot" ]; then
    found=stale stale_reason="the machine was rebooted since it was started"
  elif alive "$r_pid" "$r_start"; then
    found=running
  elif inspect "$r_pid" && [ "$p_start" != "$r_start" ]; then
    found=stale stale_reason="PID $r_pid is another process now"
  else
    found=exited
  fi
}

# identify_unrecorded WORKFLOW: a worker that lives although its record is lost or names another process
identify_unrecorded() {
  for u_pid in $(marked); do
    runs_workflow "$u_pid" "$1" && lives "$u_pid" || continue
    know_boot
    found=running r_pid=$u_pid r_start=$p_start r_boot=$boot r_version='' r_offset=0 r_since='' r_run='' r_native=
    # its parent leads the session that was made for it
    r_session=$p_session
    [ "$p_parent" = "$p_session" ] || r_session=0
    r_output=$(started_in "$u_pid")
    r_log=$r_output/torc_worker_$1_${name}_${dir##*-}.log
    return 0
  done
  return 1
}

# started_in PID: the output directory that a worker was started with
started_in() { words_of "$1" | sed -n '/^--output-dir$/ { n; p; q; }'; }

# identify_native WORKFLOW OUTPUT_DIR: a worker that torc's own `remote run` started left torc_worker_ID.pid in its
# output directory (torc wire 8). The number alone proves nothing: the process must be ours and run this workflow.
identify_native() {
  found=none
  absolute "${2:-torc_output}"
  n_pid=
  [ ! -r "$located/torc_worker_$1.pid" ] || read -r n_pid <"$located/torc_worker_$1.pid" || :
  is_number "$n_pid" && [ "$n_pid" -gt 1 ] || return 0
  know_boot
  r_pid=$n_pid r_start='' r_boot=$boot r_session=0 r_version='' r_offset=0 r_since='' r_run=''
  r_output=$located r_log=$located/torc_worker_$1.log r_native=1
  if ! lives "$n_pid"; then
    found=exited
  elif runs_workflow "$n_pid" "$1"; then
    found=running r_start=$p_start
  else
    found=stale stale_reason="PID $n_pid is another process now"
  fi
}

# runs_workflow PID WORKFLOW: is this process, one of our own user, `torc … run WORKFLOW …`? (any workflow when empty)
runs_workflow() {
  kill -0 "$1" 2>/dev/null || return 1
  [ ! -r "$proc/$1/cmdline" ] || [ -O "$proc/$1" ] || return 1 # root may signal everybody's
  words_of "$1" | awk -v workflow="$2" '
    { sub(/.*\//, ""); if (NR <= 2 && $0 == "torc") torc = 1 }
    before == "run" && (workflow == "" || $0 == workflow) { run = 1 }
    { before = $0 }
    END { exit !(torc && run) }'
}

# words_of PID: the words of its command line, one a line, and none of a process that has just ended; ps tells no space
# in a word from one between words
words_of() {
  if [ -r "$proc/$1/cmdline" ]; then
    { tr '\000' '\n' <"$proc/$1/cmdline"; } 2>/dev/null
  else
    LC_ALL=C ps -o args= -p "$1" | tr ' ' '\n'
  fi
}

# new_log: what the worker has written to its launch log since it was started
new_log() {
  [ -r "$r_log" ] && tail -c "+$(byte_after "$r_offset")" "$r_log"
}

# former_run RUN: is the worker one of a run before this one? Sets `run`, which it says itself, or else whoever started it.
former_run() {
  run=$(new_log | sed -n 's/.* run_id=\([0-9][0-9]*\).*/\1/p' | head -n 1)
  [ -n "$run" ] || run=$r_run
  is_number "$1" && is_number "$run" && [ "$run" -lt "$1" ]
}

# byte_after NUMBER: the number plus 1; a shell may count in 32 bits
byte_after() { awk -v number="$1" 'BEGIN { printf "%.0f\n", number + 1 }'; }

# emit_pid: the recorded process, unless a damaged record has what can be no worker's
emit_pid() {
  ! is_number "$r_pid" || [ "${#r_pid}" -gt 9 ] || [ "$r_pid" -le 1 ] || emit pid "$r_pid"
}

# emit_worker: what the reports show of the worker that `identify` found
emit_worker() {
  emit_pid
  ! is_number "$r_since" || emit since "$r_since"
  [ -z "$r_version" ] || emit version "$r_version"
  emit output_dir "$r_output"
}
