#!/bin/sh
# Resolve pyproject.toml afresh and write requirements.lock (to run), requirements-loadtest.lock (to run load tests, too)
# and requirements-dev.lock (to test).
# Lock files pin versions and name no registry, so that they serve behind any mirror.
set -eu
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

resolve() {
    python3 -m venv "$work/$2"
    "$work/$2/bin/python" -m pip install --quiet --upgrade pip setuptools
    "$work/$2/bin/python" -m pip install --quiet --editable "$1"
    {
        echo "# Written by scripts/lock.sh; do not edit."
        "$work/$2/bin/python" -m pip list --format=freeze --exclude pip --exclude amilab | LC_ALL=C sort -f
    } >"$3"
}

resolve "." run requirements.lock
resolve ".[dev,loadtest]" dev requirements-dev.lock
resolve ".[loadtest]" loadtest requirements-loadtest.lock
