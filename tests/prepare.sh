#!/usr/bin/env bash
# Brings what the tests need onto a Debian machine: a container engine, a browser, PostgreSQL, mmdebstrap, nginx.
# Without root it only says what is missing; the tests then skip what they cannot run, or fail when CI=true.
set -euo pipefail
cd "$(dirname "$0")/.."

packages=()
want() { command -v "$1" >/dev/null 2>&1 || [ -x "/usr/sbin/$1" ] || packages+=("${@:2}"); }
want dockerd docker.io iptables
want chromium chromium
want mmdebstrap mmdebstrap
compgen -G '/usr/lib/postgresql/*/bin/initdb' >/dev/null || packages+=(postgresql)

if [ "${#packages[@]}" -gt 0 ]; then
    if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
        echo "prepare: installing ${packages[*]}"
        export DEBIAN_FRONTEND=noninteractive
        apt-get update -qq
        apt-get install -y -qq --no-install-recommends "${packages[@]}" >/dev/null
    else
        echo "prepare: missing: ${packages[*]} (install them, or run as root on Debian)" >&2
    fi
fi

if ! docker info >/dev/null 2>&1 && [ "$(id -u)" = 0 ] && [ -x /usr/sbin/dockerd ]; then
    echo "prepare: starting the container engine"
    mkdir -p .cache
    setsid nohup /usr/sbin/dockerd >.cache/dockerd.log 2>&1 </dev/null &
    for _ in $(seq 100); do
        docker info >/dev/null 2>&1 && break
        sleep 0.2
    done
    docker info >/dev/null 2>&1 || { echo "prepare: the engine did not start; see .cache/dockerd.log" >&2; tail -n 20 .cache/dockerd.log >&2; }
fi

if docker info >/dev/null 2>&1; then
    .venv/bin/kernelhub image build --if-needed
fi
