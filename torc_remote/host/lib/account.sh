# shellcheck shell=sh
# The account's surroundings. Login files export variables and functions, and any of them may steer a tool that scripts
# use (TAR_OPTIONS, GREP_OPTIONS, CDPATH, SHELLOPTS, a function `cd`). So scripts see only the variables named here, and
# bytes for characters. The rest is set aside in a function, since jobs get the account's environment unchanged.

# `torc_account`: the definition of in_account COMMAND..., which gives way to COMMAND in the account's own environment.
# `exec` comes before any function of that name. A variable that shells don't let us set goes through env. In zsh `path`
# is PATH, and `argv` the arguments.
# shellcheck disable=SC2030,SC2031 # LC_ALL of this subshell alone
torc_account=$(
  export _torc_lc_all="${LC_ALL+=$LC_ALL}"
  export LC_ALL=C
  exec awk -v quote="'" '
    function quoted(text,  part, count, i, word) {
      count = split(text, part, quote)
      word = part[1]
      for (i = 2; i <= count; i++) word = word quote "\\" quote quote part[i]
      return quote word quote
    }
    BEGIN {
      print "in_account() {\nunset LC_ALL"
      if (ENVIRON["_torc_lc_all"] != "") print "export LC_ALL=" quoted(substr(ENVIRON["_torc_lc_all"], 2))
      for (name in ENVIRON) {
        if (name ~ /^(HOME|PATH|USER|LOGNAME|SHELL|PWD|OLDPWD|SHLVL|_|LC_ALL|U?ID|EUID|PPID|path|argv)$/) continue
        if (name ~ /^(XDG_RUNTIME_DIR|DBUS_SESSION_BUS_ADDRESS)$/) continue
        if (name ~ /^(TORC_|_torc_|_TORC_|LD_|DYLD_)/) continue
        if (name !~ /^[A-Za-z_][A-Za-z0-9_]*$/) {
          words = words " " quoted(name "=" ENVIRON[name])
          continue
        }
        names = names " " name
        if (name ~ /^(SHELLOPTS|BASHOPTS|OPTIND|RANDOM|SECONDS|LINENO|TMOUT|COLUMNS|LINES)$/) {
          words = words " " quoted(name "=" ENVIRON[name])
        } else {
          print "export " name "=" quoted(ENVIRON[name])
        }
      }
      if (words != "") print "set -- env" words " \"$@\""
      print "exec \"$@\"\n}\ntorc_names=" quoted(names)
    }'
)
IFS=' 	
'
set +aCefuvx
eval "$torc_account"
# shellcheck disable=SC3040,SC3044,SC3045,SC3047 # bash
if [ -n "${BASH_VERSION:-}" ]; then
  unset -f command declare export
  export -n SHELLOPTS BASHOPTS
  for torc_name in $(declare -F); do
    case $torc_name in
    declare | -* | in_account) ;;
    *) unset -f "$torc_name" ;;
    esac
  done
  set +o pipefail
  shopt -u dotglob failglob nocaseglob nocasematch nullglob lastpipe xpg_echo
  trap - DEBUG ERR RETURN
elif [ -n "${ZSH_VERSION:-}" ]; then
  unfunction -m '*'
  eval "$torc_account"
fi
# directories of ours, where they name one wherever we are
torc_tmpdir=${TMPDIR:-} torc_state=${XDG_STATE_HOME:-}
for torc_name in $torc_names; do
  command unset "$torc_name" 2>/dev/null || :
done
case $torc_tmpdir in /*) export TMPDIR="$torc_tmpdir" ;; esac
case $torc_state in /*) export XDG_STATE_HOME="$torc_state" ;; esac
# shellcheck disable=SC2031
export LC_ALL=C
