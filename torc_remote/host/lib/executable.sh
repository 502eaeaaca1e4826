# shellcheck shell=sh
# Which torc a host has.

# find_torc EXECUTABLE: sets `torc`; EXECUTABLE as for `absolute`; without it the PATH and the usual places are searched
find_torc() {
  torc=''
  absolute "$1"
  for torc_candidate in ${1:+"$located"} "$(command -v torc 2>/dev/null)" \
    "$library_home/.local/bin/torc" "$library_home/.cargo/bin/torc" /usr/local/bin/torc; do
    if [ -f "$torc_candidate" ] && [ -x "$torc_candidate" ]; then
      torc=$torc_candidate
      return
    fi
    [ -z "$1" ] || fail missing "there is no executable file $located on this host"
  done
  fail missing "torc was not found on this host. Searched: PATH=$PATH, ~/.local/bin, ~/.cargo/bin, /usr/local/bin. \
Install it with 'torc remote install', or name it with --executable (torc_executable in plays)"
}

# torc_version: sets `version` to what `torc --version` says, whatever else it prints
torc_version() {
  torc_said=$(in_account "$torc" --version 2>&1) || torc_failed=$?
  version=$(printf '%s\n' "$torc_said" |
    sed -n 's/^\(torc[[:space:]]\{1,\}\)\{0,1\}\([0-9][0-9]*\.[0-9][^[:space:]]*\)[[:space:]]*\((.*)\)\{0,1\}$/\2/p' | tail -n 1)
  [ -n "$version" ] ||
    fail broken "$torc --version ${torc_failed:+failed with code $torc_failed and }said: $(printf '%s\n' "$torc_said" | tail -n 3)"
}
