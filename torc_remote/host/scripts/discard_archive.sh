# shellcheck shell=sh
# discard_archive.sh NAME: removes what pack_logs.sh made under this name, wherever it found room.
part "$1"
rm -rf "${TMPDIR:-/tmp}/$1" "${state_home:?}/$1"
finish discarded
