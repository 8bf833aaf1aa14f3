#!/bin/bash
# npm test: everything, from a bare machine. Sets up, builds, lints, type-checks and runs all tests (both databases, real
# QEMU, real guests, the real client). Goes on after a failure and ends with one line: N passed, N failed.
#   npm test -- test/unit      only these tests
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

deploy/setup.sh

passed=0
failed=0
stage() {
  local name=$1
  shift
  say "$name"
  if "$@"; then passed=$((passed + 1)); else failed=$((failed + 1)); printf 'FAILED: %s\n' "$name" >&2; fi
}

stage 'build (generates types from the contract)' build
stage lint deploy/lint.sh
stage typecheck npx --no-install tsc
say tests
report=$(mktemp)
trap 'rm -f "$report"' EXIT
tests=0
npx --no-install vitest run --reporter=default --reporter=json --outputFile.json="$report" "$@" || tests=$?
counts=$(node -e '
  const r = JSON.parse(require("fs").readFileSync(process.argv[1], "utf8") || "{}")
  const broken = (r.testResults ?? []).filter((f) => f.status === "failed" && f.assertionResults.every((a) => a.status !== "failed")).length
  console.log(r.numPassedTests ?? 0, (r.numFailedTests ?? 0) + broken)
' "$report" 2>/dev/null || echo '0 1')
read -r ok bad <<<"$counts"
((tests == 0 || bad > 0)) || bad=1
passed=$((passed + ok))
failed=$((failed + bad))
printf '\n%d passed, %d failed\n' "$passed" "$failed"
((failed == 0))
