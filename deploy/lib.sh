# Shared by the scripts beside it; sourced, never run. Leaves the caller in the project's root.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
ROOT=$PWD

say() { printf '\033[1m==> %s\033[0m\n' "$*"; }
fail() { printf '%s\n' "$*" >&2; exit 1; }

require_node() {
  command -v node >/dev/null || fail 'Node.js 20.19 or newer is needed and was not found.'
  node -e 'const [a, b] = process.versions.node.split(".").map(Number); process.exit(a > 20 || (a === 20 && b >= 19) ? 0 : 1)' ||
    fail "Node.js 20.19 or newer is needed; this is $(node -v)."
}

# node-gyp asks the network for Node's headers unless told where they are; a Node installed with its headers needs no network.
use_own_headers() {
  local prefix
  prefix=$(dirname "$(dirname "$(readlink -f "$(command -v node)")")")
  if [[ -f $prefix/include/node/node.h ]]; then export npm_config_nodedir=$prefix; fi
}

modules_are_current() {
  [[ -f node_modules/.package-lock.json && ! package-lock.json -nt node_modules/.package-lock.json ]]
}

ensure_modules() {
  require_node
  use_own_headers
  if [[ ! -d node_modules ]] || { ! modules_are_current && [[ $(lock_sum) != "$(cat node_modules/.strata-lock 2>/dev/null)" ]]; }; then
    say 'npm ci'
    npm ci --no-audit --no-fund
  fi
  ensure_native
  lock_sum >node_modules/.strata-lock
}

lock_sum() { sha256sum package-lock.json | cut -d' ' -f1; }

# node_modules copied from elsewhere, or installed without its scripts, lacks the compiled part of better-sqlite3.
ensure_native() {
  if node -e 'new (require("better-sqlite3"))(":memory:").close()' 2>/dev/null; then return; fi
  say 'npm rebuild better-sqlite3 (its native module is missing or made for another Node)'
  use_own_headers
  npm rebuild better-sqlite3 || fail 'better-sqlite3 could not be built. It needs a C++ compiler, make and python3: run deploy/setup.sh, or: apt-get install g++ make python3'
  node -e 'new (require("better-sqlite3"))(":memory:").close()' || fail 'better-sqlite3 was built but cannot be loaded.'
}

build_is_current() {
  [[ -f dist/.built && -f dist/src/main.js ]] || return 1
  local newer
  newer=$(find api src db openapi.yaml package.json package-lock.json tsconfig.json tsconfig.build.json deploy/generate.ts deploy/bundle.ts \
    -path api/generated -prune -o -newer dist/.built -print -quit)
  [[ -z $newer ]]
}

build() {
  local begun
  begun=$(mktemp)
  npm run -s build
  mkdir -p dist
  # Stamped with the moment the build began: what is saved while it runs is newer.
  mv -f "$begun" dist/.built
}

ensure_build() {
  if build_is_current; then return; fi
  say 'npm run build'
  build
}
