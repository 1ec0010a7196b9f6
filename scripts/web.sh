#!/usr/bin/env bash
# Rebuilds what of the TypeScript client and the web client is committed, so that the server can embed it.
. "$(dirname "$0")/common.sh"

need_clients
for package in sdk/typescript web; do
  say "Building $package"
  npm --prefix "$package" run build
done
