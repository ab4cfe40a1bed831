# The fence: what runs on a target around every command. POSIX sh; flock and setsid of util-linux (or busybox).
# It holds no single quote and no doubled backslash, so that any log-in shell can hand it on as one quoted word.
#
# Input: nine lines of header, the lines of the command, then (when size is not -1) that many bytes of payload and the
# line "<nonce> go". Whoever sent it keeps the input open: its end means that nobody waits any more, and ends the work.
# Output and errors: a line "<nonce> begin", the command's own, then "<nonce> end"; behind the latter, on errors, how
# it ended. The nonce comes by the input and is exported to nobody, so a command cannot write these lines.
#
# .deploynaut/fence    the newest token, replaced by rename
# .deploynaut/taken    the newest token whose takeover is complete
# .deploynaut/lock     flock: shared by running commands, exclusive for a taker as proof that none is left
# .deploynaut/running  an empty file for each command (a full disk still takes its name):
#                      <token>.<id>.<group>.<its start>.<supervisor>.<its start>.<boot>
# .deploynaut/journal  two lines for each command, for people and witnesses

say() {
  printf "%s %s\n" "$nonce" "$1"
}

# The answer: how it ended, and a detail. The lock goes first: a dead reader must not keep it by letting us block.
finish() {
  exec 9>&-
  [ -z "$watcher" ] || kill "$watcher" 2>/dev/null
  say end
  say "end $1 ${2:--}" >&2
  exit 0
}

# What the kernel says of process $1: $state, $group, $ticks (its start). Fails when it is gone.
look() {
  stat=
  { while IFS= read -r part; do stat="$stat $part"; done <"/proc/$1/stat"; } 2>/dev/null
  [ -n "$stat" ] || return 1
  set -- ${stat##*) }
  state=$1 group=$3 ticks=${20}
}

# Whether a process of group $1 runs. Zombies do not count: nobody may ever collect them.
lives() {
  for dir in /proc/[0-9]*; do
    look "${dir#/proc/}" && [ "$group" = "$1" ] && [ "$state" != Z ] && [ "$state" != X ] && return 0
  done
  return 1
}

seconds() {
  read -r up rest </proc/uptime
  up=${up%.*}
}

# End group $1: asked first, forced after 5 s, proven. Fails after 60 s.
end_group() {
  seconds
  began=$up
  kill -s TERM -- "-$1" 2>/dev/null
  kill -s CONT -- "-$1" 2>/dev/null
  pause=0.01
  while lives "$1"; do
    seconds
    [ $((up - began)) -lt 60 ] || return 1
    [ $((up - began)) -lt 5 ] || kill -s KILL -- "-$1" 2>/dev/null
    sleep "$pause" 2>/dev/null || sleep 1
    pause=0.1
  done
}

number() {
  value=0
  [ ! -e "$room/$1" ] || read -r value <"$room/$1"
  case $value in "" | *[!0-9]*) finish unfit "number $1" ;; esac
}

write_number() {
  printf "%s\n" "$token" >"$room/tmp/$1.$id" && mv -f -- "$room/tmp/$1.$id" "$room/$1" || finish unfit "write $1"
}

# Flock with the words in $1 on descriptor $2, for at most 60 s.
hold() {
  flock $1 -n "$2" && return 0
  seconds
  asked=$up
  until flock $1 -n "$2"; do
    seconds
    [ $((up - asked)) -lt 60 ] || finish still lock
    sleep 0.05 2>/dev/null || sleep 1
  done
}

# Does "$2" for every command of a token up to $1, with what its name in running/ tells in variables.
each_running() {
  for file in "$room"/running/*; do
    facts "${file##*/}" && [ "$its_group" -gt 1 ] && [ "$its_token" -le "$1" ] && "$2"
  done
}

facts() {
  IFS=.
  set -- $1
  unset IFS
  [ $# -eq 7 ] || return 1
  case $1$3$4$5$6 in *[!0-9]*) return 1 ;; esac
  its_token=$1 its_id=$2 its_group=$3 its_start=$4 its_keeper=$5 keeper_start=$6 its_boot=$7
}

end_one() {
  [ "$its_boot" = "$boot" ] || return 0
  if look "$its_group" && [ "$ticks" != "$its_start" ]; then return 0; fi
  if lives "$its_group"; then end_group "$its_group" || finish still "$its_group"; fi
}

end_keeper() {
  if [ "$its_boot" = "$boot" ] && look "$its_keeper" && [ "$ticks" = "$keeper_start" ]; then
    kill -KILL "$its_keeper" 2>/dev/null
  fi
}

forget_one() {
  [ -e "$file" ] || return 0
  printf "%s %s - %s %s end by a later run\n" "$(date -u "$clock")" "$its_token" "$its_id" "$its_group" \
    >>"$room/journal"
  rm -f -- "$file" "$room/tmp/in.$its_id"
}

# End every command of a token up to $1. The exclusive lock proves that none is left; so does a later complete takeover.
make_quiet() {
  seconds
  quiet_since=$up
  while :; do
    each_running "$1" end_one
    flock -x -n 9 && break
    number taken
    [ "$value" -le "$1" ] || return 0
    seconds
    [ $((up - quiet_since)) -lt 60 ] || finish still lock
    [ $((up - quiet_since)) -lt 5 ] || each_running "$1" end_keeper
    sleep 0.05 2>/dev/null || sleep 1
  done
  each_running "$1" forget_one
  flock -u 9
}

# Write our token as file $1, unless a newer one is there. The directory's own lock keeps tokens from going backwards.
claim() {
  exec 8<"$room"
  hold -x 8
  number fence
  [ "$value" -gt "$token" ] || write_number "$1"
  exec 8<&-
  [ "$value" -le "$token" ] || finish fenced "$value"
}

take_over() {
  flock -u 9
  claim fence
  make_quiet $((token - 1))
  claim taken
  hold -s 9
}

# Come in: the shared lock is held, and our token proven the newest.
enter() {
  hold -s 9
  number fence
  newest=$value
  number taken
  if [ "$newest" -lt "$token" ] || { [ "$newest" = "$token" ] && [ "$value" -lt "$token" ]; }; then take_over; fi
  number fence
  [ "$value" = "$token" ] || finish fenced "$value"
}

# (Its redirections are made by exec: on a function call dash keeps copies of what it replaces, lock and output too.)
# Feed the command its payload, then wait for the input to end. A payload cut short never looks complete: the command
# is ended before its input is closed.
watch() {
  trap - TERM HUP INT
  if [ "$size" -lt 0 ]; then
    wait_for_end
  elif ! feed; then
    # The command has closed its input early, which it may.
    exec >/dev/null
    cat
  elif IFS= read -r go && [ "$go" = "$nonce go" ]; then
    exec >/dev/null
    wait_for_end
  fi
  while kill -TERM "$$"; do sleep 0.2 || sleep 1; done
}

wait_for_end() {
  while read -r go; do :; done
}

# iflag=fullblock takes exactly as many bytes as are wanted, and leaves the line behind them.
feed() {
  if [ $((size / 65536)) -gt 0 ]; then dd bs=65536 count=$((size / 65536)) iflag=fullblock || return 1; fi
  if [ $((size % 65536)) -gt 0 ]; then dd bs=$((size % 65536)) count=1 iflag=fullblock || return 1; fi
}

# The command itself, in a session of its own. It writes itself down before it acts, and its shell shares the lock, so
# that not even a kill of the supervisor lets it run unfenced.
start() {
  exec setsid /bin/sh /dev/fd/5 "$room" "$id" "$token" "$boot" "$$" "$keeper_ticks" \
    "$(date -u "$clock") $token $run $id" "$label" 3<&- 5<<DEPLOYNAUT_COMMAND
{
exec 5<&-
read -r stat </proc/\$\$/stat && set -- "\$@" \${stat##*) } &&
: >"\$1/running/\$3.\$2.\$\$.\${28}.\$5.\$6.\$4" || exit 125
printf "%s %s begin %s\n" "\$7" "\$\$" "\$8" >>"\$1/journal"
set --
unset stat
{
$text
} 9>&-
}
DEPLOYNAUT_COMMAND
}

supervise() {
  look "$$"
  keeper_ticks=$ticks
  trap "stop=yes" TERM HUP INT
  if [ "$size" -ge 0 ]; then
    pipe=$room/tmp/in.$id
    mkfifo -m 600 "$pipe" || finish unfit fifo
    ( exec 9>&- <&3 3<&- 2>/dev/null >"$pipe" && watch ) &
    watcher=$!
    start <"$pipe" &
  else
    ( exec 9>&- <&3 3<&- 2>/dev/null >/dev/null && watch ) &
    watcher=$!
    start </dev/null &
  fi
  child=$!
  exec 3<&-
  wait "$child"
  status=$?
  if [ -n "$stop" ]; then
    kill "$watcher" 2>/dev/null
    end_group "$child" || finish still "$child"
    status=stopped
  elif kill -s 0 -- "-$child" 2>/dev/null; then
    end_group "$child" || finish still "$child"
  fi
  close_entry
}

# A command that could not write itself down has not begun.
close_entry() {
  for file in "$room/running/$token.$id."*; do :; done
  if [ -e "$file" ]; then
    printf "%s %s %s %s %s end %s\n" "$(date -u "$clock")" "$token" "$run" "$id" "$child" "$status" >>"$room/journal"
  elif [ "$status" = 125 ]; then
    status=unfit
  fi
  rm -f -- "$file" "$pipe"
}

answer() {
  [ "$status" != stopped ] || finish stopped
  [ "$status" != unfit ] || finish unfit register
  if [ "$status" -gt 128 ]; then
    number fence
    [ "$value" = "$token" ] || finish fenced "$value"
  fi
  finish exit "$status"
}

unset IFS nonce text stop watcher pipe
IFS= read -r nonce && IFS= read -r base && IFS= read -r mode && IFS= read -r token && IFS= read -r run &&
  IFS= read -r id && IFS= read -r label && IFS= read -r size && IFS= read -r lines || exit 1
text=
while [ "$lines" -gt 0 ]; do
  IFS= read -r line || exit 1
  text="$text$line
"
  lines=$((lines - 1))
done
say begin
say begin >&2
room=$base/.deploynaut
clock=+%Y-%m-%dT%H:%M:%S.%NZ
exec 3<&0 </dev/null
[ ! -L "$room" ] || finish unfit link
for word in flock setsid mkfifo dd; do command -v "$word" >/dev/null || finish unfit "program $word"; done
if [ ! -d "$room/running" ]; then
  mkdir -p -- "$base" 2>/dev/null
  mkdir -m 700 -- "$room" 2>/dev/null
  mkdir -p -m 700 -- "$room/tmp" "$room/running" 2>/dev/null || finish unfit directory
fi
cd -- "$base" 2>/dev/null || finish unfit directory
[ -w "$room" ] || finish unfit directory
{ exec 9>>"$room/lock"; } 2>/dev/null || finish unfit lock
read -r boot </proc/sys/kernel/random/boot_id
if [ "$mode" = stop ]; then
  make_quiet "$token"
  finish exit 0
fi
enter
supervise
answer
