#!/usr/bin/env bash
# Runs schemathesis against a server of its own: whatever is asked of the REST interface, no answer is a 5xx, and none is
# one that docs/openapi.json does not announce. The same requests each time.
# usage: api.sh [options of schemathesis]
. "$(dirname "$0")/common.sh"

need_rust
need_schemathesis

folder=$(mktemp -d "${TMPDIR:-/tmp}/rookery-api-XXXXXX")
# PostgreSQL runs as somebody else where we are root.
chmod 711 "$folder"
server=

finish() {
  local code=$?
  if [ -n "$server" ]; then
    kill "$server" 2>/dev/null || true
    wait "$server" 2>/dev/null || true
  fi
  if [ "$code" -ne 0 ]; then
    say "What the server logged at last:"
    tail -n 20 "$folder/log" 2>/dev/null || true
  fi
  rm -rf "$folder"
  exit "$code"
}
trap finish EXIT

quietly api-build cargo build --locked || die "the server cannot be built; see above"

export ROOKERY__HTTP__PORT=0 ROOKERY__TCP__PORT=0 ROOKERY__INSIDE__PORT=0 ROOKERY__DATA_DIR="$folder/data"
target/debug/rookery serve >"$folder/out" 2>"$folder/log" &
server=$!
for _ in $(seq 300); do
  grep -q '^rookery ready ' "$folder/out" && break
  kill -0 "$server" 2>/dev/null || die "the server ended before it was ready; see below"
  sleep 0.1
done
address=$(sed -n 's/^rookery ready http=\([^ ]*\).*/\1/p' "$folder/out")
[ -n "$address" ] || die "the server did not become ready"
key=$(target/debug/rookery api-key create --name schemathesis 2>/dev/null)

# Who is there, so that not everything ends in a 404.
for user in alice bob carol; do
  curl --silent --show-error --fail --output /dev/null "http://$address/api/v1/users" \
    -H "Authorization: Bearer $key" -H 'Content-Type: application/json' -d "{\"user\":\"$user\"}"
done

"$SCHEMATHESIS" --no-color --config-file scripts/schemathesis.toml run "http://$address/api/v1/openapi.json" \
  --header "Authorization: Bearer $key" "$@"
