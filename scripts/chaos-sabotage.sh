#!/usr/bin/env bash
# Builds faults into the server on purpose, one after the other, and shows whether the chaos run catches each of them within
# five minutes, and by which rule. Ends with 1 when one was not caught.
# usage: chaos-sabotage.sh [FAULT…], as `chaos-sabotage.sh early-winner`; all of them otherwise
. "$(dirname "$0")/common.sh"

all=()
while read -r fault; do all+=("$fault"); done < <(sed -nE 's/^ +\("([a-z-]+)", Fault::.*/\1/p' src/sabotage.rs)
[ $# -eq 0 ] || all=("$@")

need_rust
need_postgres
need_redis
cargo test --locked --features sabotage --test chaos_run --no-run

# Of which faults there are more than of others while this one is in, so that five minutes are enough: what it does
# shows under one of many kinds, and a run of five minutes sees each of them once or twice. Rules and clients are the
# same for all.
more_of() {
  case $1 in
    ack-before-commit | ack-on-first-rows | kept-queue) echo "refused commits" ;;
    no-epoch-check) echo "overtaken" ;;
    key-share) echo "slow commits" ;;
    dedup-in-memory) echo "ended in commits,PostgreSQL killed" ;;
    guess-success) echo "terminated" ;;
    early-winner) echo "cut from Redis" ;;
  esac
}

missed=0
for fault in "${all[@]}"; do
  log="$LOGS/sabotage-$fault.log" from=$SECONDS
  if ROOKERY_SABOTAGE="$fault" CHAOS_MORE="$(more_of "$fault")" \
    CHAOS_MINUTES=5 CHAOS_STOPS_AT_ONCE=true RUST_BACKTRACE=0 \
    cargo test --locked --features sabotage --test chaos_run what_was_promised >"$log" 2>&1; then
    rules=
  else
    rules=$(sed -nE 's/^seed [0-9]+: ([A-Z][A-Za-z]+): .*/\1/p' "$log" | sort -u | paste -sd ' ' -)
  fi
  # A run that ended in another way has shown nothing.
  if [ -n "$rules" ]; then
    say "$fault: caught after $((SECONDS - from)) s, by $rules"
  else
    say "$fault: NOT CAUGHT in $((SECONDS - from)) s; see $log"
    missed=$((missed + 1))
  fi
done
[ "$missed" -eq 0 ]
