#!/usr/bin/env bash
# Everything that decides whether a change can land. The last line is `N passed, N failed`, whatever happens: each test
# counts, and so does each check without tests of its own; a suite that breaks off without naming a test is one failure.
. "$(dirname "$0")/common.sh"

passed=0
failed=0
broken=()
# The steps, and the process that goes through a part of them beside this one.
begun=()
beside=

# Ends a process that we started, and all that it started.
end_with_children() {
  local child
  for child in $(ps -A -o pid=,ppid= | awk -v parent="$1" '$2 == parent { print $1 }'); do
    end_with_children "$child"
  done
  kill "$1" 2>/dev/null || true
}

finish() {
  local code=$? name outcome
  [ -z "$beside" ] || end_with_children "$beside"
  for name in ${begun[@]+"${begun[@]}"}; do
    # One that did not come to its end is one failure.
    outcome=$(cat "$LOGS/$name.outcome" 2>/dev/null || echo "0 1")
    passed=$((passed + ${outcome% *}))
    failed=$((failed + ${outcome#* }))
    [ "${outcome#* }" -eq 0 ] || broken+=("$name")
  done
  # Leaving early (a tool that cannot be had, an interrupt) is a failure too.
  if [ "$code" -ne 0 ] && [ "$failed" -eq 0 ]; then
    failed=1
  fi
  [ ${#broken[@]} -eq 0 ] || say "Failed: ${broken[*]}; what they printed is in $LOGS/"
  say "Took $((SECONDS / 60)) min $((SECONDS % 60)) s"
  printf '%s passed, %s failed\n' "$passed" "$failed"
  [ "$failed" -eq 0 ] || code=1
  exit "$code"
}
trap finish EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

# Where a hang would be seen by nobody, it ends before the machine's own limit does.
bounded() {
  if [ -n "${CI:-}" ] && have timeout; then
    timeout --kill-after=30 "$@"
  else
    shift
    "$@"
  fi
}

# How many tests a log says have passed and failed, as "P F". Each knows its runner's closing lines.
count_check() { [ "$2" -eq 0 ] && echo "1 0" || echo "0 1"; }
count_cargo() {
  sed -nE 's/^test result: .* ([0-9]+) passed; ([0-9]+) failed;.*/\1 \2/p' "$1" |
    awk '{ passed += $1; failed += $2 } END { print passed + 0, failed + 0 }'
}
count_node() {
  sed -nE 's/^# (pass|fail) ([0-9]+)$/\1 \2/p' "$1" |
    awk '$1 == "pass" { passed += $2 } $1 == "fail" { failed += $2 } END { print passed + 0, failed + 0 }'
}

# step NAME RUNNER COMMAND…: runs it, keeps what it prints, shows that when it has ended, counts, and goes on either way.
step() {
  local name=$1 runner=$2 log="$LOGS/$1.log" from=$SECONDS code=0 counts step_passed step_failed
  shift 2
  bounded 40m "$@" >"$log" 2>&1 || code=$?
  counts=$("count_$runner" "$log" "$code")
  step_passed=${counts% *}
  step_failed=${counts#* }
  # No failed test, and yet not well: it did not compile, it crashed, or it ran nothing at all.
  if [ "$step_failed" -eq 0 ] && { [ "$code" -ne 0 ] || [ "$step_passed" -eq 0 ]; }; then
    step_failed=1
  fi
  echo "$step_passed $step_failed" >"$LOGS/$name.outcome"
  # Two that end at once do not print into each other.
  until mkdir "$LOGS/printing" 2>/dev/null; do sleep 0.1; done
  say "$name"
  cat "$log"
  say "$name: $step_passed passed, $step_failed failed, $((SECONDS - from)) s"
  rmdir "$LOGS/printing"
}

need_rust
need_rust_tools
need_postgres
need_redis
need_python
need_chromium
need_shellcheck
need_cargo_deny
need_clients
need_schemathesis
say "Everything needed is there, after $SECONDS s"

rm -rf "$LOGS"/*.outcome "$LOGS/printing" "$LOGS/built"

# What computes all the time comes first, and then what waits more than it computes: what Node runs goes beside what cargo
# runs, and both have a server to start by then.
clients() {
  step fmt check scripts/lint.sh fmt
  step shell check scripts/lint.sh shell
  step sdk-check check scripts/lint.sh sdk
  step web-check check scripts/lint.sh web
  until [ -e "$LOGS/built" ]; do sleep 1; done
  step sdk node npm --prefix sdk/typescript test --silent
  step web node npm --prefix web test --silent
  step api check scripts/api.sh
}
begun=(fmt shell sdk-check web-check clippy doc deny build rust sdk web api)
clients &
beside=$!
step clippy check scripts/lint.sh clippy
step doc check scripts/lint.sh doc
step deny check scripts/lint.sh deny
step build check cargo test --locked --no-run
touch "$LOGS/built"
step rust cargo scripts/cargo-tests.sh
wait "$beside" || true
beside=
