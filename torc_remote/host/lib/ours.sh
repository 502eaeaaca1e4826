# shellcheck shell=sh
# Which processes are a worker's: those that carry its mark, the name of its state directory, in their environment, and
# whatever descends from them or from the worker, session leader or not; and as long as the worker lives its session.
# What carries the mark of another worker is that one's, with all that descends from it.

# ours: a line "PID START" for each process of the worker in `dir` that `identify` found, but for the shell that waits
# for it, which ends by itself. Once it has ended, its number and its session's may be another one's at any moment.
ours() {
  if [ "$found" = running ] && alive "$r_pid" "$r_start"; then
    ours_of "$dir" "${r_session:-0}" "$r_pid" "${r_session:-0}"
  else
    ours_of "$dir" "${r_session:-0}" 0 0
  fi
}

# ours_of DIR WAITING PID SESSION: the same by its state directory, the number of that shell, and, 0 where it has ended,
# the worker's own and its session's
ours_of() {
  { marks "$1" && all_processes; } | o_dir=$1 LC_ALL=C awk -v waiting="$2" -v root="$3" -v session="$4" -v self="$$" '
    BEGIN { own = ENVIRON["o_dir"]; gsub("\n", "\001", own) }
    $1 == "mark" { mark[$2] = substr($0, length($2) + 7); next }
    { parent[$1] = $2; start[$1] = $4; if (session > 1 && $3 == session) member[$1] = 1 }
    END {
      if (root > 1) member[root] = 1
      for (pid in mark) if (mark[pid] == own) member[pid] = 1; else foreign[pid] = 1
      # nor this script and what it runs under
      for (pid = self; pid in parent; pid = parent[pid]) foreign[pid] = 1
      for (pid in foreign) delete member[pid]
      do {
        grown = 0
        for (pid in parent)
          if (!(pid in member) && !(pid in foreign) && (parent[pid] in member)) { member[pid] = 1; grown = 1 }
      } while (grown)
      for (pid in member) if (pid in parent && pid != waiting) print pid, start[pid]
    }'
}

# marks DIR: a line "mark PID DIR" for each process of our own user that carries one, with \001 for a newline. (What ps
# shows of an environment tells only whether the name is this DIR.)
marks() {
  if [ -r "$proc/self/environ" ]; then
    LC_ALL=C grep -zsH '^_TORC_REMOTE_WORKER=' "$proc"/[0-9]*/environ 2>/dev/null | tr '\000\n' '\n\001' |
      while IFS= read -r m_line; do
        m_pid=${m_line%%/environ:*} m_pid=${m_pid##*/}
        if [ -O "$proc/$m_pid" ]; then printf 'mark %s %s\n' "$m_pid" "${m_line#*:_TORC_REMOTE_WORKER=}"; fi
      done
  else
    ps_environments | o_dir=$1 o_uid=$(id -u) LC_ALL=C awk '
      BEGIN { own = ENVIRON["o_dir"] }
      $2 == ENVIRON["o_uid"] && (at = index($0, " _TORC_REMOTE_WORKER=")) {
        value = substr($0, at + 21)
        next_char = substr(value, length(own) + 1, 1)
        print "mark", $1, index(value, own) == 1 && (next_char == "" || next_char == " ") ? own : value
      }'
  fi
  :
}

# ps_environments: a line "PID UID COMMAND ENVIRONMENT" for each process whose environment ps may show
ps_environments() {
  case $(uname) in
  Darwin) ps -AEww -o pid= -o uid= -o command= ;;
  *) ps axeww -o pid= -o uid= -o args= ;;
  esac 2>/dev/null
}

# marked: the numbers of the processes that carry the mark of the worker in `dir`
marked() {
  marks "$dir" | o_dir=$dir awk '
    BEGIN { own = ENVIRON["o_dir"]; gsub("\n", "\001", own) }
    substr($0, length($2) + 7) == own { print $2 }'
}

# named PIDS: the numbers with commas between, and whose they are where that is another user
named() {
  for n_pid in $1; do
    n_user=$(ps -o user= -p "$n_pid" 2>/dev/null | tr -d ' ')
    case $n_user in
    '' | "$(id -un)") printf '%s\n' "$n_pid" ;;
    *) printf '%s of user %s\n' "$n_pid" "$n_user" ;;
    esac
  done | paste -s -d , - | sed 's/,/, /g'
}

numbers() { while read -r n_pid n_start; do echo "$n_pid"; done; }
