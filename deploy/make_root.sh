#!/bin/sh
# Make a root of Debian with edge-fer in it, as a tar: for a systemd service with RootDirectory=, or a container.
#
#   deploy/make_root.sh [--arch arm64|amd64] [--suite bookworm] --wheels DIR OUT.tar
#
# For arm64 by default. DIR has the wheel of edge-fer and all that it needs, for the architecture and the Python of the
# suite; `make deb ARCH=arm64` leaves them in out/wheels-arm64. Needs root and mmdebstrap, and qemu-user-static with
# binfmt-support for another architecture than the machine's. deploy/dev-board.md tells what to do with the tar.
# Exit code: 0 made; 1 it failed; 2 wrong use.

set -eu

program=make_root
tree=$(cd "$(dirname "$0")/.." && pwd)
. "$tree/deploy/common.sh"
arch=arm64 suite=bookworm wheels='' out=''

while [ $# -gt 0 ]; do
    case $1 in
        -h | --help) help ;;
        --arch | --suite | --wheels)
            [ $# -ge 2 ] || die 2 "expected a value after $1, found nothing"
            case $1 in
                --arch) arch=$2 ;;
                --suite) suite=$2 ;;
                --wheels) wheels=$2 ;;
            esac
            shift
            ;;
        -*) die 2 "expected an option of $0 --help, found $1" ;;
        *) out=$1 ;;
    esac
    shift
done
[ -n "$out" ] || die 2 "expected the name of a tar to write, found none"
[ -d "$wheels" ] || die 2 "expected a folder after --wheels, found ${wheels:-none}"

scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
trap 'exit 1' HUP INT TERM
chmod 755 "$scratch"
mkdir "$scratch/edge-fer"
copy_tree "$scratch/edge-fer"
cp -R "$wheels" "$scratch/edge-fer/wheels"

# shellcheck disable=SC2016  # $1 is for the hook
mmdebstrap --quiet --arch="$arch" --variant=minbase --include=python3,python3-venv \
    --customize-hook="copy-in $scratch/edge-fer /tmp" \
    --customize-hook='chroot "$1" /tmp/edge-fer/deploy/install.sh --no-start --wheels /tmp/edge-fer/wheels' \
    --customize-hook='rm -rf "$1/tmp/edge-fer"' \
    "$suite" "$out"
say "$out is made"
