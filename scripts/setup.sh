#!/usr/bin/env bash
# Makes the environment .venv with napari-noisyseg, its tests and napari in it, in the tested
# versions of constraints.txt. Does nothing when that has been done; an interrupted attempt is
# cleared away and made again.
#
#   PYTHON=/path/to/python3.12 make setup     with another Python than the one found
set -eu
. "$(dirname "$0")/common.sh"

stamp=$venv/.installed         # what was installed, written last
unfinished=$venv/.unfinished   # we are making this environment and have not come to the end

# One setup at a time: the second waits, then finds everything done.
if command -v flock >/dev/null 2>&1; then
    exec 9<scripts/setup.sh
    flock 9
fi

suits() { # a Python that runs, is new enough, and, with a second argument, not newer than tested
    "$1" -c "import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, ${2:-99}))" \
        </dev/null >/dev/null 2>&1
}

find_python() {
    local candidate
    if [ -n "${PYTHON:-}" ]; then
        suits "$PYTHON" || fail "PYTHON=$PYTHON is no Python 3.11 or newer."
        printf '%s\n' "$PYTHON"
        return
    fi
    for candidate in python3 python3.13 python3.12 python3.11 python; do
        if suits "$candidate" 13; then
            printf '%s\n' "$candidate"
            return
        fi
    done
    for candidate in python3 python3.14 python; do
        if suits "$candidate"; then
            printf '%s\n' "$candidate"
            return
        fi
    done
    fail "No Python 3.11 or newer was found: install one, or name it with PYTHON=/path/to/python3 make setup."
}

make_environment() {
    local base=$1 minor
    mkdir -p "$venv"
    : >"$unfinished"
    if ! "$base" -c "import ensurepip, venv" >/dev/null 2>&1; then
        # Debian keeps these two in a package of their own.
        minor=$("$base" -c "import sys; print(sys.version_info[1])")
        may_install_packages && {
            install_packages "python3.$minor-venv" || install_packages python3-venv || true
        }
        "$base" -c "import ensurepip, venv" >/dev/null 2>&1 ||
            fail "Python's venv module is missing: install it (on Debian and Ubuntu: sudo apt-get install python3.$minor-venv), then run make again."
    fi
    "$base" -m venv "$venv" </dev/null >&2 ||
        fail "The environment $venv could not be made: see the lines above, then run make again."
}

# What the environment was made from: a change of these files asks for a new installation.
fingerprint() {
    "$python" - setup.cfg pyproject.toml constraints.txt scripts/setup.sh <<'CODE'
import hashlib, pathlib, sys

digest = hashlib.sha256(sys.version.encode())
for name in sys.argv[1:]:
    digest.update(pathlib.Path(name).read_bytes())
print(digest.hexdigest())
CODE
}

# It runs, is new enough and has pip; and where it has a stamp, it was made in this very place: the
# programs of an environment that was copied or moved still point to the old one.
usable() {
    suits "$python" && "$python" -m pip --version </dev/null >/dev/null 2>&1 || return 1
    [ ! -e "$stamp" ] || [ "$(sed -n 2p "$stamp")" = "$(pwd -P)" ]
}

if [ -e "$venv" ] || [ -L "$venv" ]; then
    if [ -e "$unfinished" ] || ! usable; then
        say "The environment $venv is not usable here (interrupted, moved, or too old): making it again."
        rm -rf "$venv"
    elif [ "$(sed -n 1p "$stamp" 2>/dev/null)" = "$(fingerprint)" ]; then
        exit 0
    fi
fi
if [ ! -e "$venv" ]; then
    base=$(find_python)
    say "Making the environment $venv with $("$base" --version 2>&1)."
    make_environment "$base"
fi
: >"$unfinished"
rm -f "$stamp"
say "Installing napari-noisyseg with napari and the tests' tools; this takes some minutes the first time."
PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_USER=0 "$python" -m pip install -qq --no-input \
    -c constraints.txt -e '.[all,test]' </dev/null >&2 ||
    fail "The installation failed: see pip's lines above, then run make again."
{ fingerprint && pwd -P; } >"$stamp.new"
mv "$stamp.new" "$stamp"
rm -f "$unfinished"
say "Ready: $venv has napari-noisyseg, napari and the tests' tools."
