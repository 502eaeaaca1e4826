# shellcheck shell=sh
# discard_archive.sh ARCHIVE: removes what pack_logs.sh made on this host, and nothing else.
case $1 in
*/torc-logs-*/logs*.tar.gz) rm -rf "${1%/logs*.tar.gz}" ;;
*) fail failed "$1 is not an archive of this collection" ;;
esac
finish discarded
