#!/bin/sh
# Make a virtual environment in $1 and install the locked requirements of $2 and amilab itself into it.
set -eu
venv=$1
lock=$2

say() { printf '%s\n' "$*" >&2; }

python=
for candidate in ${PYTHON:-} python3 python3.14 python3.13 python3.12 python3.11; do
    if command -v "$candidate" >/dev/null 2>&1 &&
        "$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
        python=$candidate
        break
    fi
done
if [ -z "$python" ]; then
    say "amilab needs Python 3.11 or newer, and none was found. On Debian or Ubuntu: apt-get install python3 python3-venv"
    exit 2
fi

# Debian and Ubuntu ship Python without ensurepip; the package python3-venv brings it.
if ! [ -x "$venv/bin/python" ]; then
    if ! "$python" -c 'import ensurepip, venv' 2>/dev/null; then
        version=$("$python" -c 'import sys; print("%d.%d" % sys.version_info[:2])')
        if [ "$(id -u)" = 0 ]; then
            say "Installing python$version-venv, which Python needs to make virtual environments …"
            apt-get update -qq >/dev/null && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq "python$version-venv" >/dev/null
        else
            say "Python here cannot make virtual environments. Do once: sudo apt-get install python$version-venv"
            exit 2
        fi
    fi
    say "Making a virtual environment in $venv …"
    "$python" -m venv "$venv"
fi

say "Installing the packages of $lock (a few minutes the first time) …"
PIP_DISABLE_PIP_VERSION_CHECK=1 "$venv/bin/python" -m pip install --quiet --no-deps --requirement "$lock"
PIP_DISABLE_PIP_VERSION_CHECK=1 "$venv/bin/python" -m pip install --quiet --no-deps --no-build-isolation --editable .
