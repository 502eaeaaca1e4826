# shellcheck shell=sh
# Which compute nodes of the server are a worker's, as far as its launch log tells (torc wire 4.4).
#
# The controller tells the server that they are gone. Should it die before that, nothing here could say so a second time:
# a start replaces the record, and a deletion removes the log. So both keep the lines in the file `lost` beside the
# record first. A later script of the same play removes it; it runs only after the server was told.

held=
asked=

# own_nodes: of the worker that `identify` found, a line for each compute node,
#   node ID TIME SINCE   that its log names, first at this time by the host's clock. It was registered before, and not
#                        before the worker was started, SINCE (seconds since 1970, where the record tells); a number
#                        alone may be another one's by now, since a new database counts from 1 again, and a copy goes on.
#   idle HOST FROM UNTIL that it registered under this host name between two seconds. Torc's own worker names its node
#                        only with its first job. No line where it never got so far.
own_nodes() {
  new_log 2>/dev/null | awk -v since="${r_since:+ $r_since}" '
    match($0, /compute_node_id=[0-9]+/) {
      id = substr($0, RSTART + 16, RLENGTH - 16)
      if (!(id in named)) print "node", id, substr($1, 2) since
      named[id] = any = 1
    }
    / Starting job runner$/ { from = substr($1, 2) }
    / Starting torc job runner / {
      started++; until = substr($1, 2)
      for (i = 1; i <= NF; i++) if (sub(/^hostname=/, "", $i)) host = $i
    }
    END { if (!any && started == 1 && from != "") print "idle", host, from, until }'
}

# emit_nodes: what the controller needs to tell the server that this worker is gone, and any before that nobody has
# told of. Sets `nodes`. The names, as a node that bears another one is somebody else's.
emit_nodes() {
  ! was_asked || asked=1
  nodes=$({ own_nodes; lost_nodes; } | sort -u)
  emit_known_nodes
}

emit_lost_nodes() {
  nodes=$(lost_nodes)
  emit_known_nodes
}

lost_nodes() { [ ! -e "$dir/lost" ] || cat "$dir/lost"; }

# emit_held_nodes: of the worker that `identify` found running, which keeps its nodes whatever another host says of them
emit_held_nodes() {
  nodes=$(lost_nodes) held=$(own_nodes)
  emit_known_nodes
}

emit_known_nodes() {
  [ -n "$nodes$held" ] || return 0
  n_dir=${dir%/*}
  emit node_names "$name $(uname -n) ${n_dir##*/}"
  [ -z "$nodes" ] || emit nodes "$nodes"
  [ -z "$held" ] || emit held "$held"
  [ -z "$asked" ] || emit asked 1
}

# ask_to_end: note that the worker ends because a stop has asked for it. It leaves its jobs to us then, and has not died
# of one. On a full disk it gives them back itself.
ask_to_end() {
  asked=1
  { printf '%s %s\n' "$r_pid" "$r_start" >"$dir/stopping"; } 2>/dev/null || :
}

# was_asked: is that noted of the worker that `identify` found?
was_asked() {
  { read -r a_pid a_start <"$dir/stopping"; } 2>/dev/null && [ "$a_pid $a_start" = "$r_pid $r_start" ]
}

# is_foreign KNOWN: does the worker that `identify` found belong to another server, which has a copy of this workflow's
# database? KNOWN is what this server says (torc_remote/client/registrations.py), empty where it was not asked:
#   run RUN                    the workflow's present run
#   node ID SECONDS TIME NAME  for each of its newest compute nodes, the oldest first: when it registered, and as what
# A worker that names no node, as it has not registered yet or never did, is nobody else's.
is_foreign() {
  [ -n "$1" ] || return 1
  {
    printf '%s\n' "$1" | sed 's/^/known /'
    own_nodes
  } | o_name=${TORC_WORKER_NAME:-} awk -v machine="$(uname -n)" '
    $1 == "known" && $2 == "node" {
      id[++count] = $3; seconds[count] = $4; time[count] = $5
      sub(/^known node [^ ]* [^ ]* [^ ]* /, "")
      host[count] = $0
      next
    }
    $1 == "node" {
      registered = 1
      # so old a one may be known all the same
      if (count && $2 + 0 < id[1]) own = 1
      for (i = 1; i <= count; i++)
        if (id[i] == $2 && (host[i] == machine || host[i] == ENVIRON["o_name"]) && time[i] "" <= $3 "" &&
          (NF < 4 || seconds[i] >= $4 - 60)) own = 1
    }
    $1 == "idle" {
      registered = 1
      for (i = 1; i <= count; i++) if (host[i] == $2 && time[i] "" >= $3 "" && time[i] "" <= $4 "") own = 1
    }
    END { exit !(registered && !own) }'
}

# what is said of such a worker
foreign_worker() { printf 'the worker there (PID %s) belongs to another server with a copy of this workflow' "$r_pid"; }

# keep_nodes: what was said, for later commands, as the record or the log is about to go; fails where it can't be written
keep_nodes() {
  [ -z "$nodes" ] || {
    { printf '%s\n' "$nodes" >"$dir/lost.new"; } 2>/dev/null && mv "$dir/lost.new" "$dir/lost"
  }
}

# forget_nodes: the server was told
forget_nodes() { rm -f "$dir/lost"; }
