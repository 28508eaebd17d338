#!/usr/bin/env bash
# Mutation testing: changes one thing at a time in mmdet_losses/functional and kernels, and counts what no test notices.
#
#     tools/run tools/mutation.sh                                             all, or what is left of it
#     tools/run tools/mutation.sh 'mmdet_losses.functional.distribution*'     one file
#
# Ends with the survivors. MUTATION_JOBS is the number of processes (all cores); see docs/mutation.md.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

if ! python -c "import mutmut" 2>/dev/null; then
    echo "tools/mutation.sh: mutmut is missing: tools/run python -m pip install -e '.[mutation]'" >&2
    exit 2
fi
jobs="${MUTATION_JOBS:-$(env -u OMP_NUM_THREADS nproc)}"  # nproc says OMP_NUM_THREADS where it is set
export OMP_NUM_THREADS=1 CUDA_VISIBLE_DEVICES=
python -m mutmut run --max-children "$jobs" "$@"
python -m mutmut results | grep -v 'not checked' || true
