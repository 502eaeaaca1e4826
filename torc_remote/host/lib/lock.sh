# shellcheck shell=sh
# One at a time: whoever starts, stops or deletes a worker holds its lock, and no launch goes on that nobody waits for.
# Whoever starts or deletes something in an output directory holds that one's as well, since workflows may share it.
#
# A lock is a chain of symbolic links, each made and signed in one step: LINK names its owner, LINK.OWNER whoever came
# after an owner that died. The last owner of the chain holds it. Nothing of a dead owner has to be removed before
# the next can come, so nothing that it left can be in the way, and a name is only ever made by one.
#
# A launch has a ticket, the directory ticket.ID. The worker's parent takes it (renames it to taken.ID) before it starts
# torc; whoever gives the launch up withdraws it the same way. Of the two only one gets it, and the other does nothing.

lock_sign='' held_worker='' held_output=''
# seconds after which an owner counts as dead that cannot be looked for: one on another machine or in another container
lock_lease=600

# lock: waits for the worker's lock; fails where its state directory is gone
lock() {
  hold "$dir/lock" "starting, stopping or deleting this worker" || return 1
  held_worker=$dir/lock
}

# lock_output: the same for the output directory; that of a workflow's own within it goes with it
lock_output() {
  hold "${output%"/server-$key"}/.torc-remote.lock" "starting a worker or deleting logs in $output" || return 1
  held_output=$lock_link
}

# hold LINK DEED
hold() {
  lock_link=$1
  if [ -z "$lock_sign" ]; then
    inspect $$
    know_host
    lock_sign=$$:$p_start:$boot/$host_id/$(now)
  fi
  lock_tries=0 lock_misses=0
  until claim_lock; do
    [ -d "${lock_link%/*}" ] || return 1
    [ "$lock_misses" -lt 10 ] || fail failed "${lock_link%/*} cannot be written to (is the disk full?): $lock_said"
    lock_tries=$((lock_tries + 1))
    [ "$lock_tries" -lt 150 ] || fail busy "another command is $2 (PID ${lock_owner%%:*}). Try again when it is done"
    nap 0.1
  done
  trap unlock EXIT
}

# claim_lock: takes the lock, unless somebody holds it. The chain may have been released since it was looked at; then
# nobody finds what was added to its end, which only the second look tells.
claim_lock() {
  follow_lock || return 1
  lock_mine=$lock_at
  if ! lock_said=$(LC_ALL=C ln -s "$lock_sign" "$lock_mine" 2>&1); then
    lock_said=${lock_said##*: }
    [ -L "$lock_mine" ] || lock_misses=$((lock_misses + 1))
    return 1
  fi
  follow_lock || [ "$lock_owner" != "$lock_sign" ] || return 0
  rm -f "$lock_mine"
  return 1
}

# follow_lock: sets `lock_at`, the free end of the chain; fails where `lock_owner`, who may be ourselves, holds the lock
follow_lock() {
  lock_at=$lock_link
  while lock_owner=$(readlink "$lock_at" 2>/dev/null) && [ -n "$lock_owner" ]; do
    owner_dead "$lock_owner" || return 1
    plain_text "$lock_owner"
    lock_at=$lock_link.$plain
  done
}

# owner_dead PID:START:BOOT[/HOST_ID/TIME]
owner_dead() {
  know_host
  o_rest=${1#*:}
  o_start=${o_rest%%:*} o_rest=${o_rest#*:} o_place=$host_id o_time=''
  o_boot=${o_rest%%/*}
  case $o_rest in */*/*) o_rest=${o_rest#*/} o_place=${o_rest%%/*} o_time=${o_rest##*/} ;; esac
  if [ "$o_boot" != "$boot" ] && [ "${o_place%.*}" = "${host_id%.*}" ]; then
    return 0 # this machine was booted since
  elif [ "$o_place" = "$host_id" ]; then
    ! alive "${1%%:*}" "$o_start"
  else
    is_number "$o_time" || return 0
    o_age=$(($(now) - o_time))
    [ "$o_age" -gt "$lock_lease" ] || [ "$o_age" -lt "-$lock_lease" ]
  fi
}

# unlock: gives back what is held
unlock() {
  leave_output
  give_back "$held_worker"
  held_worker=''
}

leave_output() {
  give_back "$held_output"
  held_output=''
}

# give_back LINK: the beginning of the chain first. Only the holder removes any of it, and one whose lease was over has a
# successor.
give_back() {
  [ -n "$1" ] || return 0
  plain_text "$lock_sign"
  [ -L "$1.$plain" ] || rm -f "$1" "$1".* 2>/dev/null
  rmdir "$1.break" 2>/dev/null || : # of an earlier version
}

# withdraw_launch: takes every ticket back; fails where there was none, as the worker's parent has it
withdraw_launch() {
  withdrawn=1
  for ticket in "$dir"/ticket.*; do
    [ -d "$ticket" ] && mv "$ticket" "$dir/withdrawn.${ticket##*/ticket.}" 2>/dev/null || continue
    rm -rf "$dir/withdrawn.${ticket##*/ticket.}"
    withdrawn=0
  done
  return "$withdrawn"
}

# being_launched: has a worker's parent, `launch_pid`, a ticket, and not written the record yet?
being_launched() {
  for taken in "$dir"/taken.*; do
    launch_pid='' launch_start=''
    { [ -r "$taken/parent" ] && read -r launch_pid launch_start <"$taken/parent"; } 2>/dev/null || continue
    if alive "$launch_pid" "$launch_start"; then return 0; fi
  done
  return 1
}

# settle_launch SECONDS: what an earlier command was launching when it died either comes to nothing or is waited for;
# fails where that takes longer
settle_launch() {
  withdraw_launch || :
  launch_end=$(($(monotonic) + $1))
  while being_launched; do
    [ "$(monotonic)" -lt "$launch_end" ] || return 1
    nap 0.1
  done
  rm -rf "$dir"/taken.* "$dir"/withdrawn.*
}
