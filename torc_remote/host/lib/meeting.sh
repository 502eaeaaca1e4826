# shellcheck shell=sh
# Where a file changes hands by sftp: a directory whose name the controller chose, in a place that it knows by its number
# (torc_remote/ssh/transfer.py). So nothing that a host calls its own gets into sftp's language.

# meet NAME BECOME: makes the directory, sets `meeting` to its path and says where it is. With BECOME 1 somebody else
# logs in, whose home is another one. Fails where there is no room.
meet() {
  meeting_number=0
  for meeting_place in /tmp /var/tmp "$library_home"; do
    meeting_number=$((meeting_number + 1))
    [ "$meeting_number$2" != 31 ] && [ -n "$meeting_place" ] || continue
    meeting=$meeting_place/$1
    (umask 077 && mkdir "$meeting") 2>/dev/null || continue
    # others may pass through the directory, but not list it
    [ "$2" = 0 ] || chmod 711 "$meeting" || return
    emit place "$meeting_number"
    return
  done
  return 1
}

# part NAME: removes the directory from each place
part() {
  case $1 in
  */* | '') fail failed "$1 is not the name of a directory" ;;
  esac
  for meeting_place in /tmp /var/tmp "$library_home"; do
    [ -z "$meeting_place" ] || rm -rf "${meeting_place:?}/$1"
  done
}
