#!/usr/bin/env bash
# Runs the load generator shortly and compares with docs/performance.json. It needs a quiet machine: it ends with 3, and
# says who used the processors, when others did. What is kept is made by: rookery bench all --short --report docs/performance.json
. "$(dirname "$0")/common.sh"

need_rust
need_postgres
cargo build --release --locked
exec target/release/rookery bench check --short "$@"
