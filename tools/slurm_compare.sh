#!/usr/bin/env bash
# Compare losses on a Slurm cluster: tools/slurm_compare.sh PARTITION JOB_NAME CONFIG WORK_DIR [options of tools/compare.py]
# A job array has a task for each run. The directory, the data and the environment are seen by all nodes.
# Variables: GPUS of a run (1; 0 for a CPU), CPUS_PER_TASK (5), MOST_AT_ONCE, SRUN_ARGS, as MMDetection's slurm_train.sh.
set -euo pipefail

if [ $# -lt 4 ]; then
    echo "usage: $0 PARTITION JOB_NAME CONFIG WORK_DIR [options of tools/compare.py]" >&2
    exit 2
fi
partition=$1 name=$2 config=$3 work_dir=$4
compare=(python -u "$(dirname "$0")/compare.py" "$config" --work-dir "$work_dir" "${@:5}")
gpus=${GPUS:-1}
cpus=${CPUS_PER_TASK:-5}

"${compare[@]}" --dry-run
runs=$(wc -l < "$work_dir/commands.txt")
if [ "$runs" -gt 0 ]; then
    export COMPARE_COMMANDS="$work_dir/commands.txt"
    # The array ends with an error where a run failed; which one and why is in the report.
    # shellcheck disable=SC2016,SC2086
    sbatch --wait --requeue -p "$partition" --job-name="$name" --array="1-$runs${MOST_AT_ONCE:+%$MOST_AT_ONCE}" \
        --ntasks=1 --cpus-per-task="$cpus" ${gpus:+$([ "$gpus" -gt 0 ] && echo "--gres=gpu:$gpus")} \
        --output="$work_dir/slurm-%A_%a.out" --export=ALL ${SRUN_ARGS:-} \
        --wrap='eval "$(sed -n "${SLURM_ARRAY_TASK_ID}p" "$COMPARE_COMMANDS")"' || true
fi
# What is done is not trained again: this writes the report, and fails where a run did.
exec "${compare[@]}" --report
