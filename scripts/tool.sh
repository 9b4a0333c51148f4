#!/usr/bin/env bash
# Runs a program of the project's environment: bash scripts/tool.sh ruff check
set -eu
. "$(dirname "$0")/common.sh"

[ -x "$python" ] || fail "There is no environment yet: run 'make setup' first."
program=$programs/$1
shift
exec "$program" "$@"
