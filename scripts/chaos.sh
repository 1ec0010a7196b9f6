#!/usr/bin/env bash
# The long chaos run: three nodes, a PostgreSQL and a Redis to which everything happens, and a checker of what their clients
# saw. Tells each half minute how far it is, and in the end what it came to; what failed is kept in target/tmp/.
# usage: chaos.sh MINUTES [SEED]
. "$(dirname "$0")/common.sh"

minutes=${1:-60}
[[ $minutes =~ ^[0-9]+(\.[0-9]+)?$ ]] || die "chaos.sh takes a number of minutes, not $minutes"

need_rust
need_postgres
need_redis
CHAOS_MINUTES="$minutes" CHAOS_SEED="${2:-$RANDOM}" RUST_BACKTRACE=0 \
  cargo test --locked --test chaos_run what_was_promised -- --nocapture
