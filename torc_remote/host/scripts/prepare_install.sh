# shellcheck shell=sh
# prepare_install.sh SHA256 NEEDS_PYTHON CHECK NAME FILE BECOME: is this very file installed already? Else makes room for
# it, unless CHECK says that nothing may be changed: the upload goes to FILE in a directory NAME (see meeting.sh), which
# is a link to where it shall be. BECOME 1: somebody else logs in and lends the place (lend_upload.sh).
target=$library_home/.local/bin/torc
[ -n "$library_home" ] || fail failed "the account's home directory ${HOME:-} does not exist on this host"
if [ "$2" = 1 ]; then
  python3 -I -c 'import sys; sys.exit(sys.version_info < (3, 8))' 2>/dev/null ||
    fail failed "the built-in worker needs Python 3.8 or newer as python3 on this host; \
install a native torc binary with --binary instead"
fi
if [ -f "$target" ] && [ -x "$target" ] && [ "$(checksum <"$target")" = "$1" ]; then
  emit executable "$target"
  finish unchanged
fi
if [ -f "$target" ]; then
  emit replaced_sha256 "$(checksum <"$target")"
  emit replaced_version "$(in_account "$target" --version 2>/dev/null | head -n 1)"
fi
[ "$3" = 0 ] || finish ready
mkdir -p "$library_home/.local/bin" || fail failed "cannot create $library_home/.local/bin"
upload=$library_home/.local/bin/.$4
(umask 077 && set -C && printf '' >"$upload") 2>/dev/null || fail failed "cannot write to $library_home/.local/bin"
if [ "$6" = 0 ]; then
  meet "$4" 0 && ln -s "$upload" "$meeting/$5" || {
    rm -f "$upload"
    fail failed "the upload has no place: no room for a directory in /tmp, /var/tmp or $library_home"
  }
fi
finish ready
