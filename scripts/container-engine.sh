#!/bin/sh
# Make sure of what the container tests need: a Docker engine, Compose v2, and the base image debian:trixie-slim, made
# with debootstrap where none can be pulled. As root, on Debian or Ubuntu; does nothing that is done already.
set -eu

say() { printf '%s\n' "$*" >&2; }
install() { apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$@" >/dev/null; }
work=${TMPDIR:-/tmp}/amilab-engine
mkdir -p "$work"

if ! docker info >/dev/null 2>&1; then
    command -v dockerd >/dev/null || { say "Installing Docker Engine …"; install docker.io iptables; }
    say "Starting Docker Engine …"
    if ! { [ -d /run/systemd/system ] && systemctl start docker 2>/dev/null; }; then
        setsid dockerd >"$work/dockerd.log" 2>&1 </dev/null &
    fi
    tries=0
    until docker info >/dev/null 2>&1; do
        tries=$((tries + 1))
        if [ "$tries" -gt 120 ]; then
            say "Docker Engine did not start; its last words:"
            tail -n 20 "$work/dockerd.log" >&2
            exit 1
        fi
        sleep 0.5
    done
fi

# For an engine of the tests' own, in a network namespace of its own.
command -v ip >/dev/null || install iproute2

if ! docker compose version >/dev/null 2>&1; then
    say "Installing Compose v2 …"
    if ! { install docker-compose-v2 2>/dev/null || install docker-compose-plugin 2>/dev/null; }; then
        # Debian 13's package holds the plugin, one static program, which runs on older releases too.
        mkdir -p "$work/lists/partial" "$work/cache/archives/partial" "$work/plugin"
        sed -n 's/^URIs: *\([^ ]*\/debian\)\/*$/deb [signed-by=\/usr\/share\/keyrings\/debian-archive-keyring.gpg] \1 trixie main/p
                s/^deb \(\[[^]]*\] \)\{0,1\}\([^ ]*\/debian\)\/* .*/deb [signed-by=\/usr\/share\/keyrings\/debian-archive-keyring.gpg] \2 trixie main/p' \
            /etc/apt/sources.list /etc/apt/sources.list.d/* 2>/dev/null | head -n 1 >"$work/trixie.list"
        apart="-o Dir::Etc::sourcelist=$work/trixie.list -o Dir::Etc::sourceparts=/dev/null
            -o Dir::State::lists=$work/lists -o Dir::Cache=$work/cache"
        # shellcheck disable=SC2086 # options, one word each
        (cd "$work" && apt-get $apart update -qq && apt-get $apart download -qq docker-compose)
        dpkg-deb -x "$work"/docker-compose_*.deb "$work/plugin"
        mkdir -p /usr/local/lib/docker/cli-plugins
        cp "$work/plugin/usr/libexec/docker/cli-plugins/docker-compose" /usr/local/lib/docker/cli-plugins/
    fi
    docker compose version >/dev/null
fi

base=debian:trixie-slim
if ! docker image inspect "$base" >/dev/null 2>&1 && ! docker pull -q "$base" >/dev/null 2>&1; then
    say "Making the image $base with debootstrap …"
    command -v debootstrap >/dev/null || install debootstrap
    rm -rf "$work/trixie"
    debootstrap --variant=minbase trixie "$work/trixie" >"$work/debootstrap.log" 2>&1 || {
        tail -n 20 "$work/debootstrap.log" >&2
        exit 1
    }
    rm -rf "$work"/trixie/var/cache/apt/archives/*.deb "$work"/trixie/var/lib/apt/lists/*
    tar -C "$work/trixie" -c . | docker import - "$base" >/dev/null
    rm -rf "$work/trixie"
fi
