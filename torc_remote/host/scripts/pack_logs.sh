# shellcheck shell=sh
# pack_logs.sh WORKFLOW KEYS OUTPUT_DIR ALL_WORKFLOWS KNOWN_MANIFEST CHECK BECOME NAME FILE: packs the logs into a private
# file. A small archive comes with the answer, a larger one waits as FILE in a directory NAME (see meeting.sh). Answers
# `unchanged` without packing when the manifest is the one that the caller has collected before, and `uncollected` when
# CHECK says that nothing may be changed. BECOME 1: somebody else logs in and fetches it; FILE is a secret of this run
# and in no command line.
workflow=$1 keys=$2 output_dir=$3 all=$4 known=$5 check=$6 become=$7 archive_name=$8 file=$9
umask 077
if [ "$become" = 1 ]; then mask=022; else mask=077; fi

# Archives that a lost connection left behind; younger ones may be another collector's.
sweep() {
  for old in "$1/${archive_name%.*}."*; do
    [ ! -O "$old" ] || find "$old" -prune -type d -mtime +1 -exec rm -rf {} + 2>/dev/null
  done
}

# archive: one attempt in `tmp`. tar's own code tells apart what can be borne: 1, a file changed while it was read.
archive() {
  there >"$tmp/there" || return
  {
    if [ "$whole" = 1 ]; then
      tar -cf - . 2>"$tmp/errors"
    else
      own_files "$workflow" -print >"$tmp/list" && tar -cf - -T "$tmp/list" 2>"$tmp/errors"
    fi
    echo $? >"$tmp/code"
  } | { umask "$mask" && gzip -1 >"$tmp/$file"; }
}

# comparable: names as find and every tar print them, one a line and made alike, without "./". Each tar has its own way
# to show an odd byte, a newline or a backslash (raw, ?, \n, \303): it becomes a ?, with the letters and digits after it.
comparable() {
  awk '
    function put() { gsub("[^A-Za-z0-9 ._/+,:=@%-][A-Za-z0-9]*", "?", name); gsub("[?]+", "?", name); print name }
    NR == 1 { dotted = /^\.(\/|$)/ }
    NR > 1 && dotted && !/^\.\// { name = name "\n" $0; next }
    NR > 1 { put() }
    { name = $0; sub("^[.]/", "", name) }
    END { if (NR) put() }' | sort
}

# there: the names that the archive must have; no tar packs a socket
there() { selected_files "$whole" "$workflow" ! -type s -print | comparable; }

# left_out: what was there before and still is, but is not in the archive, whatever tar's code was
left_out() {
  gzip -dc "$tmp/$file" 2>/dev/null | tar -tf - 2>/dev/null | comparable >"$tmp/packed"
  there >"$tmp/still" || echo "(no room to compare)"
  awk '
    function forward(file) { more[file] = (getline line[file] <file) > 0 }
    function has(file, name) {
      if (!(file in more)) forward(file)
      while (more[file] && line[file] "" < name "") forward(file)
      if (!more[file] || line[file] "" != name "") return 0
      forward(file)
      return 1
    }
    BEGIN {
      while ((getline name <ARGV[1]) > 0) {
        packed = has(ARGV[2], name)
        if (has(ARGV[3], name) && !packed) print name
      }
    }' "$tmp/there" "$tmp/packed" "$tmp/still"
}

# pack: /tmp may be full, so other places are tried, unless somebody else has to find the archive; sets `tmp`
pack() {
  sweep "$library_home"
  for place in "${TMPDIR:-/tmp}" /tmp /var/tmp "$state_home"; do
    case $become:$place in 0:* | 1:/tmp | 1:/var/tmp) ;; *) continue ;; esac
    [ -d "$place" ] || continue
    sweep "$place"
    tmp=$place/$archive_name
    mkdir "$tmp" 2>/dev/null || continue
    # an archive that nobody waits for any more would lie there until the next sweep
    trap 'rm -rf "$tmp"; part "$archive_name"' EXIT
    trap 'exit 1' HUP INT PIPE TERM
    if archive 2>/dev/null && [ -s "$tmp/code" ]; then return; fi
    rm -rf "$tmp"
  done
  fail failed "the logs could not be packed: no room for the archive in ${TMPDIR:-/tmp}, /var/tmp or $state_home"
}

# offer: where the caller finds the archive
offer() {
  case $tmp in
  "/tmp/$archive_name") emit place 1 ;;
  "/var/tmp/$archive_name") emit place 2 ;;
  *)
    meet "$archive_name" "$become" && ln -s "$tmp/$file" "$meeting/$file"
    return
    ;;
  esac
  # others may pass through the directory, but not list it
  [ "$become" = 0 ] || chmod 711 "$tmp"
}

locate_output "$workflow" "$keys" "$output_dir" || finish absent "there is no directory $output"
cd "$output" || finish absent "there is no directory $output"
whole=0
if [ "$all" = 1 ] || exclusive "$workflow"; then whole=1; fi
files=$(listing "$whole" "$workflow" 2>/dev/null)
if [ -z "$files" ]; then
  [ -z "$(selected_files "$whole" "$workflow" -print | head -n 1)" ] ||
    fail failed "this host has no program that tells the sizes and times of files (stat)"
  finish absent "there are no logs of workflow $workflow in $output"
fi
manifest=$(printf '%s\n' "$files" | checksum) ||
  fail failed "this host has no program for checksums (sha256sum, shasum, sha256, openssl)"
emit output_dir "$output"
emit manifest "$manifest"
[ "$manifest" != "$known" ] || finish unchanged
[ "$check" = 0 ] || finish uncollected
pack
read -r code <"$tmp/code"
size=$(wc -c <"$tmp/$file" | tr -d ' ')
emit size "$size"
emit sha256 "$(checksum <"$tmp/$file")"
[ "$code" = 0 ] || unreadable "$whole" "$workflow" | head -n 5 | emit_lines unread
left_out | head -n 5 | sed 's/$/ (tar left it out)/' | emit_lines unread
if [ "$code" -gt 1 ]; then
  head -n 5 "$tmp/errors" | emit_lines unread
fi
if [ "${#size}" -le 5 ] && [ "$size" -le 65536 ] && have base64; then
  emit content "$(base64 <"$tmp/$file" | tr -d '\n')"
  rm -rf "$tmp"
else
  offer || {
    rm -rf "$tmp"
    fail failed "the archive cannot be fetched: no room for a directory in /tmp, /var/tmp or $library_home"
  }
fi
emit state packed
if emit end 1; then trap - EXIT; fi
exit 0
