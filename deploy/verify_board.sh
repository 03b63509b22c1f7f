#!/bin/sh
# Verify a board with an Edge TPU, and keep what it can do.
#
#   deploy/verify_board.sh [--backend NAME] [--reference NAME] [--model NAME] [--models DIR]
#                          [--soak-minutes N] [--out DIR] [--key FILE] [--quick]
#
# In this order: `edge-fer doctor`; the compiler's log; the same faces on the Edge TPU and on the CPU, compared; their
# times; a long run (30 minutes); `edge-fer bench`. All figures go into one CSV, with a JSON of what they were found on
# beside it, the SHA-256 of both, and a signature of these where --key names an SSH key.
#
# --backend cpu tries all of it out on a box without an Edge TPU, --quick in seconds. Such a run is no reference.
# Exit code: 0 all is well; 1 something is not as it should be; 2 wrong use; else that of `edge-fer`.

set -eu

edge_fer=${EDGE_FER:-edge-fer}
backend=edgetpu reference=cpu model=lite models='' soak_minutes=30 out=out/board key='' quick=''

die() {
    code=$1
    shift
    echo "verify_board: $*" >&2
    exit "$code"
}

while [ $# -gt 0 ]; do
    case $1 in
        -h | --help)
            sed -n '2,/^$/s/^# \{0,1\}//p' "$0"
            exit 0
            ;;
        --quick) quick=yes ;;
        --backend | --reference | --model | --models | --soak-minutes | --out | --key)
            [ $# -ge 2 ] || die 2 "expected a value after $1, found nothing"
            case $1 in
                --backend) backend=$2 ;;
                --reference) reference=$2 ;;
                --model) model=$2 ;;
                --models) models=$2 ;;
                --soak-minutes) soak_minutes=$2 ;;
                --out) out=$2 ;;
                --key) key=$2 ;;
            esac
            shift
            ;;
        *) die 2 "expected an option, found $1; see --help" ;;
    esac
    shift
done

[ -z "$key" ] || [ -f "$key" ] || die 2 "expected an SSH key at $key, found none; ssh-keygen -t ed25519 makes one"
[ -z "$(ls -A "$out" 2>/dev/null)" ] || die 2 "expected a new or empty folder, found files in $out; give another --out"
mkdir -p "$out"
[ -z "$quick" ] || soak_minutes=0.01

export EDGE_FER_CLASSIFY__BACKEND="$backend" EDGE_FER_CLASSIFY__MODEL="$model"
[ -z "$models" ] || export EDGE_FER_MODELS="$models"

step() {
    echo "== $*"
}

step "doctor"
status=0
"$edge_fer" doctor --json >"$out/doctor.json" || status=$?
echo "edge-fer doctor ended with $status; its findings are in $out/doctor.json"

step "the compiler's log"
log=${models:-$(dirname "$0")/../models}/${model}_edgetpu.log
if [ -f "$log" ]; then
    cp "$log" "$out/compiler.log"
    grep -E "Mapped to Edge TPU|memory used" "$log"
else
    echo "not done: there is no $log; deploy/compile_edgetpu.sh writes it"
fi

step "faces on $backend and $reference, times, $soak_minutes minutes"
set -- --out "$out" --backend "$backend" --reference "$reference" --model "$model" --soak-minutes "$soak_minutes"
[ -z "$models" ] || set -- "$@" --models "$models"
[ -z "$quick" ] || set -- "$@" --faces 8 --timed 10
status=0
"$edge_fer" lab edgetpu-verify "$@" || status=$?
[ "$status" -eq 0 ] || die "$status" "not as it should be; what was found is in $out, and no reference is made of it"

step "bench"
set -- --camera sample --save "$out/bench.csv"
[ -z "$quick" ] || set -- "$@" --frames 15 --turns 1 --warm-up 0
"$edge_fer" bench "$@"

step "one file of all figures"
name=$(sed -n 's/^  "board": "\(.*\)",$/\1/p' "$out/verify.json" | tr -cs 'A-Za-z0-9' '-' | sed 's/^-*//; s/-*$//')
cat "$out/verify.csv" >"$out/$name.csv"
tail -n +2 "$out/bench.csv" >>"$out/$name.csv"
mv "$out/verify.json" "$out/$name.json"
rm "$out/verify.csv" "$out/bench.csv"
(cd "$out" && sha256sum "$name.csv" "$name.json" >"$name.sha256")
if [ -n "$key" ]; then
    ssh-keygen -q -Y sign -f "$key" -n edge-fer-board "$out/$name.sha256"
    mv "$out/$name.sha256.sig" "$out/$name.sig"
    echo "signed: $out/$name.sig"
else
    echo "not done: signed with no key; --key FILE signs it"
fi
echo "written: $out/$name.csv"
case $backend$quick in
    edgetpu | edgetpu:usb:[0-9] | edgetpu:pci:[0-9])
        echo "a reference: copy $name.csv, .json, .sha256 and .sig to deploy/bench_reference/"
        ;;
    *) echo "no reference: this was ${quick:+a quick run on }$backend, to try the script out" ;;
esac
