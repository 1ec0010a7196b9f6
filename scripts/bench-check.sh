#!/usr/bin/env bash
# Runs the load generator shortly and compares with docs/performance.json. It needs a quiet machine.
. "$(dirname "$0")/common.sh"

need_rust
need_postgres
cargo build --release --locked
exec target/release/rookery bench check --short "$@"
