# shellcheck shell=sh
# Some hosts end all that a user runs when the last session ends (KillUserProcesses=yes in logind.conf). What is in the
# session's scope then dies, whatever it does; a scope of the user's own manager lives on where that manager lingers.

# outlive_logout: sets `lasting`, the words before the worker's command, if any are needed
outlive_logout() {
  lasting=''
  logout_session=$(sed -n 's/.*[/]session-\([^/]*\)\.scope.*/\1/p' "$proc/self/cgroup" 2>/dev/null | head -n 1)
  [ -n "$logout_session" ] && kills_at_logout "$logout_session" || return 0
  logout_user=$(id -un)
  logout_why="this host ends all processes of a user who logs out (KillUserProcesses=yes), so a worker would not stay"
  loginctl show-user "$logout_user" -p Linger 2>/dev/null | grep -q '^Linger=yes' ||
    fail failed "$logout_why. Run 'loginctl enable-linger $logout_user' there once (as root, should it be refused), \
then start again"
  lasting="env XDG_RUNTIME_DIR=${XDG_RUNTIME_DIR:-/run/user/$(id -u)} systemd-run --user --scope --quiet --"
  # shellcheck disable=SC2086 # words on purpose
  logout_said=$($lasting true 2>&1) ||
    fail failed "$logout_why, and systemd-run, which would keep it, fails: $(printf '%s\n' "$logout_said" | tail -n 1)"
}

# kills_at_logout SESSION: does logind end what is left of it?
kills_at_logout() {
  have loginctl || return 1
  logout_owner=$(loginctl show-session "$1" -p Name 2>/dev/null)
  # without a session's name it shows what holds for all
  loginctl show-session -p KillUserProcesses -p KillOnlyUsers -p KillExcludeUsers 2>/dev/null |
    awk -F= -v owner="${logout_owner#Name=}" '
      { value[$1] = $2 }
      function among(users) { return index(" " users " ", " " owner " ") }
      END {
        only = value["KillOnlyUsers"]
        exit !(value["KillUserProcesses"] == "yes" && (only == "" || among(only)) && !among(value["KillExcludeUsers"]))
      }'
}
