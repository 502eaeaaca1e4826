# shellcheck shell=sh
# lend_upload.sh [LENT]: as the one who logs in, makes an empty file that another user can read; with LENT removes it.
case $1 in
'')
  lent=$(mktemp /tmp/torc-upload.XXXXXX) && chmod 644 "$lent" || fail failed "cannot write to /tmp"
  emit lent "$lent"
  finish lent
  ;;
/tmp/torc-upload.*) rm -f "$1" ;;
*) fail failed "$1 is not an upload of this collection" ;;
esac
finish discarded
