# shellcheck shell=sh
# reach.sh: does the host answer and run our scripts? Changes nothing.
finish reachable
