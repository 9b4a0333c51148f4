#!/usr/bin/env bash
# Everything that must hold: scripts/lint.sh, then the tests, whose summary is the last line.
# Fails when either does. Arguments go to pytest: bash scripts/test.sh tests/model -k tiles
#
#   TEST_WORKERS=4    processes that share the tests (default: one per core, at most four)
set -u
. "$(dirname "$0")/common.sh"

[ -x "$python" ] || fail "There is no environment yet: run 'make setup' first."

screen=()
if [ "$(uname -s)" = Linux ] && [ -z "${DISPLAY:-}" ]; then
    # napari draws with OpenGL: without a screen it needs a virtual one and software rendering.
    wanted="xvfb xauth libgl1-mesa-dri libegl1 libgl1 libxkbcommon-x11-0 libxcb-cursor0
        libxcb-icccm4 libxcb-keysyms1 libxcb-shape0 libxcb-xinerama0 libxcb-randr0
        libxcb-render-util0 libxcb-image0 libdbus-1-3"
    if command -v dpkg-query >/dev/null 2>&1; then
        missing=""
        for package in $wanted; do
            dpkg-query -W -f '${Status}' "$package" 2>/dev/null | grep -q ' installed$' ||
                missing="$missing $package"
        done
        if [ -n "$missing" ]; then
            if may_install_packages; then
                say "Installing what a virtual screen needs:$missing"
                # shellcheck disable=SC2086  # a list of words
                install_packages $missing || say "Could not install:$missing"
            else
                say "Missing, and may not be installed from here: sudo apt-get install$missing"
            fi
        fi
    fi
    if command -v xvfb-run >/dev/null 2>&1; then
        screen=(xvfb-run -a -s "-screen 0 1600x1000x24")
        export QT_QPA_PLATFORM=xcb
    else
        say "No screen and no xvfb-run: the tests that open napari will be skipped."
    fi
fi

bash scripts/lint.sh
linted=$?

workers=${TEST_WORKERS:-$("$python" -c "import os; print(min(os.cpu_count() or 1, 4))")}
# Each process computes on one core: together they would otherwise fight for all of them.
[ "$workers" -gt 1 ] && export OMP_NUM_THREADS=1
printf '\n== pytest, %s processes\n' "$workers"
${screen[@]+"${screen[@]}"} "$python" -m pytest -n "$workers" --dist loadfile "$@" </dev/null
tested=$?

[ "$tested" -ne 0 ] && exit "$tested"
exit "$linted"
