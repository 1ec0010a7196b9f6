#!/usr/bin/env bash
# Builds all Rust tests and runs them, a few files of tests at a time: most of what they do is to wait, for a link that
# is dead or a lease that ends. What each file printed comes in one piece, at the end; a line as it ends says how it went.
# usage: cargo-tests.sh [FILE…], as `cargo-tests.sh presence store`; also lib, bins, doc
. "$(dirname "$0")/common.sh"

# Files at a time, and tests of one file at a time. Each starts real servers; more of them at once, and a small machine
# measures its own scheduler.
AT_ONCE=${ROOKERY_TEST_FILES:-2}
export RUST_TEST_THREADS="${RUST_TEST_THREADS:-2}"

# These take longest and begin first, so that the others run beside them and none of them is waited for at the end.
LONGEST=(chaos_run kill cluster_faults chat presence store bad_input process connections)

selection_of() {
  case $1 in
    lib | bins | doc) echo "--$1" ;;
    *) echo "--test $1" ;;
  esac
}

# One file of tests, by a lane: its log, and a line about it.
run_one() {
  local name=$1 log="$LOGS/rust-$1.log" from=$SECONDS code=0
  # shellcheck disable=SC2046 # two words
  cargo test --locked --no-fail-fast $(selection_of "$name") >"$log" 2>&1 || code=$?
  if [ "$code" -eq 0 ]; then
    say "$name: well, $((SECONDS - from)) s"
  else
    say "$name: FAILED, $((SECONDS - from)) s"
  fi
  return "$code"
}

if [ "${1:-}" = --one ]; then
  run_one "$2"
  exit
fi

all=()
if [ $# -gt 0 ]; then
  all=("$@")
else
  for file in tests/*.rs; do
    name=$(basename "$file" .rs)
    case " ${LONGEST[*]} " in *" $name "*) ;; *) all+=("$name") ;; esac
  done
  all=("${LONGEST[@]}" "${all[@]}" lib bins doc)
fi

from=$SECONDS
cargo test --locked --no-run
say "built in $((SECONDS - from)) s"

rm -f "$LOGS"/rust-*.log
code=0
printf '%s\n' "${all[@]}" | xargs -n 1 -P "$AT_ONCE" "$0" --one || code=1
for name in "${all[@]}"; do
  say "$name"
  cat "$LOGS/rust-$name.log" || code=1
done
exit "$code"
