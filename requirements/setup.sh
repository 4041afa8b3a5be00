#!/usr/bin/env bash
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
#
# Makes the clone's virtual environment from a hash-locked list of packages:
#   requirements/setup.sh control    what the control machine needs
#   requirements/setup.sh test       the same, and what the tests need
# A second call sees by fingerprints that nothing is to be done.
set -euo pipefail

kind=$1
cd "$(dirname "$0")/.."
clone=$PWD

fail() {
    echo "setup: $*" >&2
    exit 1
}

fingerprint() {
    cat "requirements/$1.txt" requirements/setup.sh | sha256sum | cut -d ' ' -f 1
}

is_complete() {
    [[ -f .venv/.base && $(< .venv/.base) == "$clone" && -f .venv/.packages && -x .venv/bin/python ]] || return 1
    local installed
    installed=$(< .venv/.packages)
    [[ $installed == "$kind $(fingerprint "$kind")" || $installed == "test $(fingerprint test)" ]]
}

# The first Python that Ansible supports: the user's choice, the default one, else the newest by name.
find_python() {
    local candidate
    for candidate in ${PYTHON:-} python3 python3.13 python3.12 python3.11; do
        if "$candidate" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' 2> /dev/null; then
            "$candidate" -c 'import sys; print(sys.executable)'
            return
        fi
    done
    fail "Ansible needs Python 3.11, 3.12 or 3.13, and none was found (python3 is $(python3 -V 2>&1 || true));" \
        "install one, or name it: make PYTHON=/path/to/python3.12"
}

as_root() {
    if [[ $(id -u) == 0 ]]; then
        "$@"
    elif command -v sudo > /dev/null; then
        sudo "$@"
    else
        fail "root is needed for: $*; run it as root, or install sudo."
    fi
}

# Debian and Ubuntu keep the part of Python that makes environments in a package of its own.
ensure_venv_module() {
    "$python" -c 'import ensurepip, venv' 2> /dev/null && return
    local package
    package=$("$python" -c 'import sys; print("python%d.%d-venv" % sys.version_info[:2])')
    command -v apt-get > /dev/null || fail "$python cannot make virtual environments: install its venv module."
    echo "setup: installing the Debian package $package"
    as_root env DEBIAN_FRONTEND=noninteractive apt-get -q update > /dev/null
    as_root env DEBIAN_FRONTEND=noninteractive apt-get -q install --yes --no-install-recommends "$package" > /dev/null ||
        fail "apt-get could not install $package."
}

# Behind a private certificate authority the system's bundle is the one that knows it.
trust_system_certificates() {
    export UV_SYSTEM_CERTS=true
    local bundle=${SSL_CERT_FILE:-/etc/ssl/certs/ca-certificates.crt}
    if [[ -f $bundle ]]; then
        export SSL_CERT_FILE=$bundle PIP_CERT=${PIP_CERT:-$bundle}
    fi
}

# pip only installs uv, from its block in the lock; uv is much faster at the rest.
make_base() {
    python=$(find_python)
    ensure_venv_module
    echo "setup: making .venv with $("$python" -V)"
    rm -rf .venv
    "$python" -m venv .venv
    awk '/^uv==/ { inside = 1 } inside && /^ *#/ { exit } inside { print }' requirements/control.txt > .venv/uv.txt
    .venv/bin/python -m pip --disable-pip-version-check --quiet install --require-hashes --no-deps -r .venv/uv.txt ||
        fail "uv could not be installed; pip's message above says why. Is the package index reachable from here?"
    echo "$clone" > .venv/.base
}

# Ansible and Python find a collection only at such paths; the clone itself may lie anywhere. Ansible looks into
# .venv/collections first (ansible.cfg says so), before other copies that somebody installed at home.
link_collections() {
    local packages first=.venv/collections/ansible_collections
    packages=$(.venv/bin/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')/ansible_collections
    local name
    mkdir -p "$packages/mlops" "$first/mlops"
    ln -sfn "$clone" "$packages/mlops/stack"
    ln -sfn "$clone" "$first/mlops/stack"
    for name in amazon/aws community/docker community/postgresql openstack/cloud; do
        mkdir -p "$first/${name%/*}"
        ln -sfn "$packages/$name" "$first/$name"
    done
}

install_packages() {
    rm -f .venv/.packages
    echo "setup: installing the packages of requirements/$kind.txt"
    VIRTUAL_ENV=$clone/.venv .venv/bin/uv pip sync --quiet --require-hashes "requirements/$kind.txt" ||
        fail "the packages could not be installed; uv's message above says why. Is the package index reachable from here?"
    echo "$kind $(fingerprint "$kind")" > .venv/.packages
}

is_complete && exit
[[ -f requirements/$kind.txt ]] || fail "there is no requirements/$kind.txt"
mkdir -p .build
exec 9> .build/setup.lock
flock 9
is_complete && exit
began=$SECONDS
trust_system_certificates
if ! [[ -f .venv/.base && $(< .venv/.base) == "$clone" && -x .venv/bin/uv ]] || ! .venv/bin/python -c '' 2> /dev/null; then
    make_base
fi
link_collections
install_packages
echo "setup: done in $((SECONDS - began)) s"
