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
want node nodejs npm
want prometheus prometheus
compgen -G '/usr/lib/*/faketime/libfaketimeMT.so.1' >/dev/null || packages+=(libfaketime)
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

# The clients from npm that tests/clients/node drives, and the source package whose tests tests/clients/jupyter_server runs.
if command -v npm >/dev/null && ! cmp -s tests/clients/node/package-lock.json .cache/node/package-lock.json; then
    echo "prepare: installing the clients from npm"
    mkdir -p .cache/node
    cp tests/clients/node/package.json .cache/node/
    cp tests/clients/node/package-lock.json .cache/node/package-lock.new
    rm -rf .cache/node/node_modules && mv .cache/node/package-lock.new .cache/node/package-lock.json
    (cd .cache/node && npm ci --silent --no-audit --no-fund) || {
        rm -f .cache/node/package-lock.json
        echo "prepare: missing: the clients from npm (the registry did not answer)" >&2
    }
fi

# The OpenID Connect provider that tests/clients/oidc_provider runs.
if command -v npm >/dev/null && ! cmp -s tests/clients/oidc_provider/package-lock.json .cache/oidc_provider/package-lock.json; then
    echo "prepare: installing an OpenID Connect provider from npm"
    rm -rf .cache/oidc_provider && mkdir -p .cache/oidc_provider
    cp tests/clients/oidc_provider/package.json tests/clients/oidc_provider/package-lock.json .cache/oidc_provider/
    (cd .cache/oidc_provider && npm ci --silent --no-audit --no-fund) || {
        rm -f .cache/oidc_provider/package-lock.json
        echo "prepare: missing: the OpenID Connect provider (the registry did not answer)" >&2
    }
fi
upstream=$(sed -n 's/^VERSION = "\(.*\)"$/\1/p' tests/clients/jupyter_server/expected.py)
if [ ! -f ".cache/jupyter_server/jupyter_server-$upstream.tar.gz" ]; then
    echo "prepare: fetching the tests of jupyter_server $upstream"
    .venv/bin/python -m pip download --quiet --no-deps --no-binary jupyter_server --dest .cache/jupyter_server \
        "jupyter_server==$upstream" ||
        echo "prepare: missing: the source of jupyter_server (the package index did not answer)" >&2
fi

# A language and extensions of JupyterLab as an administrator may install them, in a folder of their own.
if [ ! -d .cache/front-ends/jupyterlab_language_pack_de_DE ]; then
    echo "prepare: fetching a language pack and extensions for the front ends' tests"
    .venv/bin/python -m pip install --quiet --no-deps --target .cache/front-ends jupyterlab-language-pack-de-DE \
        jupyterlab_execute_time jupyterlab_night jupyterlab_code_formatter ||
        echo "prepare: missing: the language pack (the package index did not answer)" >&2
fi

# Figures of ipympl: its front end is for the hub, its Python for the kernel.
if [ ! -d .cache/ipympl ]; then
    echo "prepare: fetching ipympl"
    .venv/bin/python -m pip install --quiet --no-deps --target .cache/ipympl ipympl ||
        echo "prepare: missing: ipympl (the package index did not answer)" >&2
fi

if docker info >/dev/null 2>&1; then
    .venv/bin/kernelhub image build --if-needed
fi
