# shellcheck shell=sh
# forget_lost.sh WORKFLOW KEYS: removes the list of compute nodes that were to be released, once the server has released
# them. It runs after delete_logs.sh and emits no `state`, so that the host's answer keeps the one of the deletion.
locate "$1" "$2"
forget_nodes
rmdir "$dir" "${dir%/*}" 2>/dev/null || :
emit end 1
