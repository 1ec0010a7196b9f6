#!/usr/bin/env bash
# What can be said about the code without running it. One check by its name, or all of them.
# usage: lint.sh [fmt|clippy|doc|deny|shell|sdk|web]
. "$(dirname "$0")/common.sh"

check_fmt() { cargo fmt --check; }

check_clippy() { cargo clippy --locked --all-targets -- -D warnings; }

check_doc() { RUSTDOCFLAGS="-D warnings" cargo doc --locked --no-deps; }

check_deny() {
  if cargo deny --log-level off fetch >/dev/null 2>&1; then
    cargo deny check --hide-inclusion-graph
  else
    echo "The advisory database cannot be reached from here, so advisories go UNCHECKED; the rest of the checks follow."
    cargo deny check --hide-inclusion-graph bans licenses sources
  fi
}

check_shell() { shellcheck scripts/*.sh .ci/run; }

check_sdk() { npm --prefix sdk/typescript run --silent check; }

# Its last part makes web/dist anew and fails where what is committed is something else.
check_web() { npm --prefix web run --silent check; }

case "${1:-all}" in
  fmt | clippy | doc | deny | shell | sdk | web) "check_$1" ;;
  all)
    need_rust
    need_rust_tools
    need_cargo_deny
    need_shellcheck
    need_clients
    for check in fmt shell sdk web clippy doc deny; do
      say "$check"
      "check_$check"
    done
    ;;
  *) die "lint.sh knows fmt, clippy, doc, deny, shell, sdk, web; not $1" ;;
esac
