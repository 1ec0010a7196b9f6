#!/usr/bin/env bash
# Builds the binary that `make run` starts.
. "$(dirname "$0")/common.sh"

need_rust
[ -d target/quick/deps ] || say "The first build takes some minutes"
cargo build --profile quick --locked
