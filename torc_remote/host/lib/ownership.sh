# shellcheck shell=sh
# Whose a directory is. In one that another user owns or may write to, any name can become a link to somewhere else
# between the look and the use; so the worker's own directory has to be this account's alone.

# facts PATH: a line "MODE UID GID"; of a link itself
# shellcheck disable=SC2012 # nothing else tells this everywhere, and of the name nothing is read
facts() { LC_ALL=C ls -ldn -- "$1" 2>/dev/null | awk 'NR == 1 { print $1, $3, $4 }'; }

# owned DIR: is it this account's? Fails with `foreign`, which says why not. Some file systems give all files one owner:
# there it counts whose a new file is.
owned() {
  o_facts=$(facts "$1") o_uid=$(id -u)
  o_owner=${o_facts#* } o_owner=${o_owner%% *}
  [ "$o_owner" != "$o_uid" ] || return 0
  foreign="belongs to another user (UID $o_owner)"
  probe "$1" && [ "$o_owner" = "$o_probed" ]
}

# own_alone DIR: is it this account's, with nobody else who may write to it? Fails with `foreign`. A user's private group
# is the user; where even a private file looks open to all, modes mean nothing; in a sticky directory others can't exchange
# what is there, so it does as long as they have put nothing there.
own_alone() {
  owned "$1" || return 1
  case $o_facts in
  ?????????[tT]*)
    a_file=$(find "$1"/. ! -name . -prune ! -user "$o_uid" -print | head -n 1)
    [ -n "$a_file" ] || return 0
    foreign="holds ${a_file##*/} of another user"
    return 1
    ;;
  ????????w*) foreign="may be written to by every user (chmod o-w helps)" ;;
  ?????w*)
    [ "${o_facts##* }" != "$(id -g)" ] || [ "$(id -gn)" != "$(id -un)" ] || return 0
    foreign="may be written to by other members of its group (chmod g-w helps)"
    ;;
  *) return 0 ;;
  esac
  probe "$1" || return 1
  case $o_probe in ?????w* | ????????w*) return 0 ;; esac
  return 1
}

# probe DIR: sets `o_probe`, the facts of a new private file there, and `o_probed`, its owner
probe() {
  p_file=$(umask 077 && mktemp "$1/.torc-probe.XXXXXX" 2>/dev/null) || return 1
  o_probe=$(facts "$p_file")
  rm -f "$p_file"
  o_probed=${o_probe#* } o_probed=${o_probed%% *}
}

# own_links PATH: is every symbolic link on the way this account's or root's? Fails with `foreign`.
own_links() {
  l_path='' l_rest=${1#/}/
  while [ -n "$l_rest" ]; do
    l_path=$l_path/${l_rest%%/*} l_rest=${l_rest#*/}
    [ -L "$l_path" ] || continue
    l_owner=$(facts "$l_path")
    l_owner=${l_owner#* } l_owner=${l_owner%% *}
    case $l_owner in 0 | "$(id -u)") continue ;; esac
    foreign="leads over $l_path, a symbolic link of another user (UID $l_owner)"
    return 1
  done
}

# plain_file PATH: is it a regular file, or nothing yet? Links are not followed, and nothing waits for a pipe's other end.
plain_file() {
  [ ! -L "$1" ] && { [ ! -e "$1" ] || [ -f "$1" ]; }
}
