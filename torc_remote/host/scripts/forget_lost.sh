# shellcheck shell=sh
# forget_lost.sh WORKFLOW KEYS: the server was told of the worker whose logs were deleted. Has no state of its own, as
# that of the deletion is the play's answer.
locate "$1" "$2"
forget_nodes
rmdir "$dir" "${dir%/*}" 2>/dev/null || :
emit end 1
