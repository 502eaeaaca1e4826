# shellcheck shell=sh
# prepare_install.sh SHA256 NEEDS_PYTHON CHECK: is this very file installed already? Else makes room for it, unless
# CHECK says that nothing may be changed.
target=$library_home/.local/bin/torc
[ -n "$library_home" ] || fail failed "the account's home directory ${HOME:-} does not exist on this host"
if [ "$2" = 1 ]; then
  python3 -c 'import sys; sys.exit(sys.version_info < (3, 8))' 2>/dev/null ||
    fail failed "the built-in worker needs Python 3.8 or newer as python3 on this host; \
install a native torc binary with --binary instead"
fi
if [ -f "$target" ] && [ -x "$target" ] && [ "$(checksum <"$target")" = "$1" ]; then
  emit executable "$target"
  finish installed
fi
if [ -f "$target" ]; then
  emit replaced_sha256 "$(checksum <"$target")"
  emit replaced_version "$(in_account "$target" --version 2>/dev/null | head -n 1)"
fi
[ "$3" = 0 ] || finish ready
mkdir -p "$library_home/.local/bin" || fail failed "cannot create $library_home/.local/bin"
upload=$(umask 077 && mktemp "$library_home/.local/bin/.torc.XXXXXX") ||
  fail failed "cannot write to $library_home/.local/bin"
emit upload "$upload"
finish ready
