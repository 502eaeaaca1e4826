# shellcheck shell=sh
# lend_upload.sh NAME FILE: as the one who logs in, makes an empty file that another user can read, in a directory NAME
# (see meeting.sh); without FILE removes it, and what prepare_install.sh made.
if [ -z "$2" ]; then
  part "$1"
  rm -f "$library_home/.local/bin/.$1"
  finish discarded
fi
meet "$1" 1 && printf '' >"$meeting/$2" && chmod 644 "$meeting/$2" || fail failed "cannot write to /tmp or /var/tmp"
finish lent
