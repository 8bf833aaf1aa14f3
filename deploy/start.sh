#!/bin/bash
# npm start: API and worker in one process. Builds first if what is built is missing or stale; sets up nothing else.
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

require_node
[[ -d node_modules ]] || ensure_modules
[[ -f node_modules/better-sqlite3/build/Release/better_sqlite3.node ]] || ensure_native
ensure_build
exec node dist/src/main.js "$@"
