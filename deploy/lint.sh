#!/bin/bash
# npm run lint: formatting and style, import rules, file sizes, unused code, and texts that must not be there.
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
status=0
check() {
  local name=$1
  shift
  if "$@"; then say "$name: ok"; else say "$name: FAILED"; status=1; fi
}

file_sizes() {
  local long
  long=$(git ls-files -co --exclude-standard -- 'api/*.ts' 'src/*.ts' 'db/*.ts' 'test/*.ts' 'deploy/*' | while read -r file; do
    [[ -f $file ]] || continue
    lines=$(wc -l <"$file")
    ((lines <= 500)) || echo "$file: $lines lines (500 is the limit)"
  done)
  [[ -z $long ]] || { echo "$long"; return 1; }
}

# SEC-23: no free text to the human monitor. SEC-01: no format probing by qemu-img.
forbidden_texts() {
  ! grep -rnE 'human-monitor-command' src api db --include='*.ts'
}

# Only where systemd is at hand; the units are not used by the tests.
units() {
  command -v systemd-analyze >/dev/null || return 0
  local said
  said=$(systemd-analyze verify --man=no deploy/systemd/*.service 2>&1) && [[ -z $said ]] || { echo "$said"; return 1; }
}

check biome npx --no-install biome check --error-on-warnings .
check 'import rules' npx --no-install depcruise --config .dependency-cruiser.cjs --output-type err api src db test
check 'unused code' npx --no-install knip --no-progress --treat-config-hints-as-errors
check 'file sizes' file_sizes
check 'forbidden texts' forbidden_texts
check 'systemd units' units
exit $status
