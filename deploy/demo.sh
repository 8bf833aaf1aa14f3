#!/bin/bash
# npm run demo: the main job, visibly, on a bare machine. Sets everything up, builds the tiny guest, starts the service in a
# state directory of its own and plays a tenant's day against it; then leaves it running.
#   npm run demo -- --once     ends service, guests and keeper afterwards
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

deploy/setup.sh
say 'the tiny guest'
mkdir -p .cache/guest
flock .cache/guest/build.lock deploy/guest/build-guest.sh .cache/guest
ensure_build
exec node --import tsx deploy/demo/main.ts "$@"
