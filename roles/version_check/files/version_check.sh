# shellcheck shell=sh
# version_check.sh EXECUTABLE EXPECTED HOST: is the torc that would be started here of the expected version?
# Changes nothing.
find_torc "$1"
torc_version
emit executable "$torc"
emit version "$version"
[ -z "$2" ] || [ "$version" = "$2" ] || fail mismatch "Version mismatch: local=$2, $3=$version"
finish ok
