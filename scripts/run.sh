#!/usr/bin/env bash
# From a fresh machine to a running server: installs what is missing, builds, serves. Arguments go to `rookery serve`.
. "$(dirname "$0")/common.sh"

need_rust
# Whoever brings a database of their own needs no server here.
[ -n "${ROOKERY__DATABASE__URL:-}" ] || need_postgres
scripts/build.sh
exec target/quick/rookery serve "$@"
