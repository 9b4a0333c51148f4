#!/usr/bin/env bash
# Style, types, floors and the manifest. Runs all of them, then fails if any of them did.
set -u
. "$(dirname "$0")/common.sh"

[ -x "$python" ] || fail "There is no environment yet: run 'make setup' first."
failed=""
check() {
    printf '\n== %s\n' "$*"
    local program=$programs/$1
    shift
    "$program" "$@" </dev/null || failed="$failed
  ${program##*/} $*"
}

check ruff check .
check ruff format --check .
check mypy
check lint-imports
check npe2 validate napari_noisyseg/napari.yaml
if [ -n "$failed" ]; then
    printf '\nThese found something:%s\n' "$failed"
    exit 1
fi
