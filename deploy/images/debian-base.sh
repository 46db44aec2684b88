#!/bin/sh
# Makes a base image for kernelhub/minimal from Debian packages alone, for places where no image registry answers.
#
#     debian-base.sh [TAG]        (default kernelhub/debian-base:latest)
#
# Needs mmdebstrap, docker, and a Debian mirror: MIRROR (default: those in the machine's own sources) and
# SUITE (default bookworm). The image trusts the certificate authorities that this machine trusts.
set -eu

tag="${1:-kernelhub/debian-base:latest}"
suite="${SUITE:-bookworm}"
bundle="${SSL_CERT_FILE:-/etc/ssl/certs/ca-certificates.crt}"
packages=python3,python3-venv,ca-certificates,git,less,procps

for program in mmdebstrap docker; do
    command -v "$program" >/dev/null || {
        echo "debian-base.sh: $program is missing (apt-get install mmdebstrap docker.io)" >&2
        exit 1
    }
done

set -- --variant=minbase --include="$packages" --dpkgopt='path-exclude=/usr/share/doc/*' \
    --dpkgopt='path-exclude=/usr/share/man/*' --dpkgopt='path-exclude=/usr/share/locale/*'
if [ -r "$bundle" ]; then
    set -- "$@" --customize-hook="copy-in '$bundle' /tmp" \
        --customize-hook="mv \"\$1/tmp/$(basename "$bundle")\" \"\$1/etc/ssl/certs/ca-certificates.crt\""
fi
archive="$(mktemp "${TMPDIR:-/tmp}/kernelhub-base.XXXXXX.tar")"
trap 'rm -f "$archive"' EXIT
mmdebstrap "$@" "$suite" "$archive" ${MIRROR:+"$MIRROR"}
docker import --change 'CMD ["python3"]' --message "debian $suite by mmdebstrap" "$archive" "$tag"
