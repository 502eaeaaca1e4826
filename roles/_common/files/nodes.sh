# shellcheck shell=sh
# Which compute nodes of the server are a worker's, as far as its launch log tells (torc wire 4.4).

# node_ids: the compute nodes that the log names
node_ids() {
  new_log 2>/dev/null | sed -n 's/.*compute_node_id=\([0-9][0-9]*\).*/\1/p' | sort -un | tr '\n' ' '
}

# registration: the host name under which torc's own worker registered and the two seconds, by this host's clock,
# between which it did. Its log names the compute node only with its first job. Nothing where it never got so far.
registration() {
  new_log 2>/dev/null | awk '
    / Starting job runner$/ { from = substr($1, 2) }
    / Starting torc job runner / {
      started++; until = substr($1, 2)
      for (i = 1; i <= NF; i++) if (sub(/^hostname=/, "", $i)) host = $i
    }
    END { if (started == 1 && from != "") print host, from, until }'
}

# emit_nodes: what the controller needs to tell the server that this worker is gone. The names, for the numbers may be
# those of a server whose database is gone: a node that bears another name is somebody else's.
emit_nodes() {
  emit node_names "$name $(uname -n)"
  emit nodes "$(node_ids)"
  emit registered "$(registration)"
}
