# shellcheck shell=sh
# version_check.sh EXECUTABLE EXPECTED HOST SKIP: is the torc that would be started here of the expected version?
# Changes nothing. SKIP 1: that the host answers and runs this is enough.
[ "$4" = 0 ] || finish reachable
find_torc "$1"
torc_version
emit executable "$torc"
emit version "$version"
[ -z "$2" ] || [ "$version" = "$2" ] || fail mismatch "Version mismatch: local=$2, $3=$version"
finish ok
