# Sourced by the other scripts: goes to the repository's root and names the environment's programs.
# Written for bash 3.2, which is what macOS has.

cd "$(dirname "${BASH_SOURCE[0]}")/.." || exit 1

venv=.venv
case "$(uname -s)" in
    MINGW* | MSYS* | CYGWIN*) programs=$venv/Scripts ;;
    *) programs=$venv/bin ;;
esac
python=$programs/python

say() { printf '%s\n' "$*" >&2; }

fail() {
    say "$*"
    exit 1
}

# Packages of the system may be installed without a question: as root, or by sudo without password.
may_install_packages() {
    command -v apt-get >/dev/null 2>&1 || return 1
    [ "$(id -u)" = 0 ] || sudo -n true >/dev/null 2>&1
}

install_packages() {
    local as_root=""
    [ "$(id -u)" = 0 ] || as_root="sudo -n"
    # Lists may be missing or out of date: try as it is first, then fetch them and try again.
    local apt="env DEBIAN_FRONTEND=noninteractive apt-get -qq -o Dpkg::Use-Pty=0 -o DPkg::Lock::Timeout=300"
    $as_root $apt install -y --no-install-recommends "$@" </dev/null >&2 2>/dev/null && return 0
    $as_root $apt update </dev/null >&2 || return 1
    $as_root $apt install -y --no-install-recommends "$@" </dev/null >&2
}
