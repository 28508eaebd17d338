#!/usr/bin/env bash
# Everything that needs a GPU, by worth: the tests of tests/gpu, then the measurements of gpu_check.py and benchmark.py.
#
#     tools/gpu_check.sh FOLDER [PHASE...]        # of: tests train floor calls step
#
# Each phase has a time limit, and writes into FOLDER as it goes. PYTHON names the interpreter (python3), TESTS chooses
# among the tests as pytest's -k does.
set -uo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
folder=${1:?usage: tools/gpu_check.sh FOLDER [PHASE...]}
shift
phases=" ${*:-tests train floor calls step} "
python=${PYTHON:-python3}
device=${MMDET_LOSSES_GPU_TESTS:-cuda}
mkdir -p "$folder"
export PYTHONPATH="$PWD:$PWD/tools${PYTHONPATH:+:$PYTHONPATH}"
start=$SECONDS
failed=0
small=()

phase() { # NAME SECONDS COMMAND...
    local name=$1 limit=$2 code=0
    shift 2
    [[ "$phases" == *" $name "* ]] || return 0
    echo "== $name, $((SECONDS - start)) s after the start"
    timeout --signal=INT --kill-after=10 "$limit" "$@" >"$folder/$name.log" 2>&1 || code=$?
    [[ $code == 0 ]] || failed=1
    tail -n "${LINES_SHOWN:-12}" "$folder/$name.log"
    echo "== $name ended with $code"
}

check=("$python" tools/gpu_check.py --device "$device" --work-dir "$folder/work")
if [[ $device == cpu ]]; then
    check+=(--iters 2 --scale 64 --rows 100 --seconds 0.05)
    small=(--quick)
fi
workers=$(($(nproc) > 14 ? 14 : $(nproc)))

phase tests 240 "$python" -m pytest tests/gpu ${TESTS:+-k "$TESTS"} -q -n "$workers" --maxprocesses 16 --dist loadgroup -p no:cacheprovider \
    --junit-xml="$folder/tests.xml"
phase train 150 "${check[@]}" --checks train --jobs 4 --json "$folder/train.json"
phase floor 120 "${check[@]}" --checks floor --seconds 1 --json "$folder/floor.json"
phase calls 150 "$python" tools/benchmark.py losses --device "$device" --seconds 0.3 --json "$folder/calls.json" "${small[@]}" \
    --losses GIoULoss,CIoULoss,FocalLoss,QualityFocalLoss,VarifocalLoss,CrossEntropyLoss,DistributionFocalLoss \
    --shapes boxes-500,boxes-retinanet,cls-retinanet,cls-levels,dfl-20k,roi-512
phase step 240 "${check[@]}" --checks step --iters 15 --json "$folder/step.json"
echo "== done after $((SECONDS - start)) s"
exit $failed
