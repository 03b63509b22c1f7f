#!/usr/bin/env bash
# Real picamera2 without a camera: on libcamera's virtual pipeline, in a root of Debian 13, with `edge-fer run` on top.
#
#     sudo deploy/picamera2_virtual.sh [FOLDER]       # where the root is made or, if it is there already, used again
#
# Needs mmdebstrap, unshare, a C compiler, python3 with pip and venv; all work in the root is done in a namespace of its own,
# so that nothing is mounted on this machine. The virtual camera shows a portrait of the package.
# What is missing for picamera2 in Debian is made up here: stubs of pykms (display) and pidng (raw files), which we do
# not use, and `udmabuf_memfd.c` for kernels without /dev/udmabuf. Exit code 0 when readings with a face come out.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
checkout=$(dirname "$here")
root=${1:-$(mktemp -d)/trixie}
picamera2=0.3.38

make_root() {
    mmdebstrap --quiet --variant=apt --aptopt='APT::Install-Recommends "false"' \
        --include=python3,python3-venv,python3-libcamera,libcamera-ipa,python3-numpy,python3-pil,python3-piexif,python3-prctl \
        trixie "$root"
}

# pip of this machine, for the root's Python 3.13
pip_for_root() {
    python3 -m pip --quiet --disable-pip-version-check "$1" --only-binary=:all: --python-version 3.13 \
        --platform manylinux2014_x86_64 --platform manylinux_2_27_x86_64 --platform manylinux_2_28_x86_64 "${@:2}"
}

add_picamera2() {
    local packages=$root/usr/local/lib/python3.13/dist-packages
    mkdir -p "$packages/pidng"
    pip_for_root install --no-deps --upgrade --target "$packages" "picamera2==$picamera2" simplejpeg videodev2
    printf '%s\n' 'class Named(type):' '    def __getattr__(cls, name):' '        return name' \
        'class PixelFormat(metaclass=Named):' '    pass' >"$packages/pykms.py"
    cat >"$packages/raw_modes.py" <<'PYTHON'
"""A virtual camera has no raw stream; whoever asks for one is shown what it gives instead."""
import libcamera

_generate = libcamera.Camera.generate_configuration


def _generate_configuration(camera, roles):
    known = [libcamera.StreamRole.Viewfinder if role == libcamera.StreamRole.Raw else role for role in roles]
    return _generate(camera, known)


libcamera.Camera.generate_configuration = _generate_configuration
PYTHON
    echo 'import raw_modes' >"$root/usr/lib/python3/dist-packages/raw_modes.pth"
    touch "$packages/pidng/__init__.py"
    echo 'Picamera2Camera = None' >"$packages/pidng/camdefs.py"
    echo 'PICAM2DNG = None' >"$packages/pidng/core.py"
}

add_virtual_camera() {
    mkdir -p "$root/usr/share/libcamera/pipeline/virtual"
    cp "$checkout/edge_fer/assets/portraits/astronaut.jpg" "$root/opt/portrait.jpg"
    cat >"$root/usr/share/libcamera/pipeline/virtual/virtual.yaml" <<YAML
"Virtual0":
  supported_formats:
  - width: 1280
    height: 720
    frame_rates: [30, 60]
  - width: 640
    height: 480
    frame_rates: [30, 60]
  frames:
    path: "/opt/portrait.jpg"
  location: "CameraLocationFront"
  model: "Virtual Video Device"
YAML
    cc -shared -fPIC -Wall -Wextra -o "$root/opt/udmabuf_memfd.so" "$here/udmabuf_memfd.c" -ldl
}

add_edge_fer() {
    local wheels=$root/opt/wheels
    rm -rf "$wheels"
    python3 -m pip --quiet --disable-pip-version-check wheel --no-deps -w "$wheels" "$checkout"
    pip_for_root download -d "$wheels" "$wheels"/edge_fer-*.whl
    inside 'python3 -m venv --clear /opt/edge-fer
            /opt/edge-fer/bin/pip install --quiet --no-index --find-links /opt/wheels edge-fer'
}

# Run a shell command in the root, without network, in namespaces that end with it.
inside() {
    # shellcheck disable=SC2016  # the inner shell expands these
    unshare --mount --net --pid --fork sh -euc \
        'mount -t proc proc "$0/proc" && exec chroot "$0" env -i PATH=/usr/bin:/usr/sbin HOME=/root LC_ALL=C.UTF-8 \
         LIBCAMERA_PIPELINES_MATCH_LIST=virtual ${2:+LD_PRELOAD="$2"} sh -euc "$1"' "$root" "$1" "${2-}"
}

show() {
    printf '\n$ %s\n' "$1"
    inside "$1" /opt/udmabuf_memfd.so
}

[[ -x $root/usr/bin/python3 ]] || make_root
add_picamera2
add_virtual_camera
add_edge_fer

edge_fer=/opt/edge-fer/bin/edge-fer
show 'cat /etc/debian_version; python3 -c "import picamera2, libcamera, numpy; print(picamera2.__file__, numpy.__version__)"'
show "$edge_fer cameras"
run="$edge_fer run --camera picamera2 --format json --max-frames 60"
show "$run >/tmp/readings; grep -m 1 status /tmp/readings; tail -n 2 /tmp/readings"
show "EDGE_FER_CAPTURE__WIDTH=640 EDGE_FER_CAPTURE__HEIGHT=480 EDGE_FER_CAPTURE__FPS=60 $run >/tmp/small; tail -n 2 /tmp/small"
show "python3 - <<'PYTHON'
import json
for path, size in (('/tmp/readings', [1280, 720]), ('/tmp/small', [640, 480])):
    records = map(json.loads, open(path))
    readings = [one for one in records if one['schema'].startswith('edge-fer/reading/')]
    ages, stamps = sorted(one['age_ms'] for one in readings), [one['captured_ns'] for one in readings]
    faces = sum(bool(one['faces']) for one in readings)
    print(len(readings), 'readings of', size, 'pixels,', faces, 'with a face, age p50', ages[len(ages) // 2], 'ms')
    assert faces and all(one['size'] == size for one in readings)
    assert stamps == sorted(set(stamps)), 'every frame has a stamp of its own'
PYTHON"
echo
echo 'all is well'
