#!/usr/bin/env bash
# Builds the binary that `make run` starts.
. "$(dirname "$0")/common.sh"

need_rust
[ -d target/release/deps ] || say "The first build takes some minutes"
cargo build --release --locked
