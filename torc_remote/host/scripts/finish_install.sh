# shellcheck shell=sh
# finish_install.sh NAME SHA256 LENT: puts the uploaded file into place in one step, if it arrived whole and runs here.
# NAME: see prepare_install.sh. LENT: another user's file, which holds what was to be uploaded.
upload=$library_home/.local/bin/.$1
torc=$upload
abandon() {
  rm -f "$upload"
  fail "$1" "$2"
}
[ -z "$3" ] || cat "$3" >"$upload" || abandon failed "cannot copy $3 to $upload"
[ "$(checksum <"$upload")" = "$2" ] || abandon failed "the file did not arrive whole (its checksum differs)"
chmod 755 "$upload" || abandon failed "cannot make $upload executable"
said=$(in_account "$upload" --version 2>&1) ||
  abandon broken "this torc does not run on this host: $(printf '%s\n' "$said" | tail -n 3)"
torc_version
mv -f "$upload" "$library_home/.local/bin/torc" || abandon failed "cannot write $library_home/.local/bin/torc"
changed
emit executable "$library_home/.local/bin/torc"
emit version "$version"
finish installed
