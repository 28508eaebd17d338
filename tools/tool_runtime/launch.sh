#!/usr/bin/env bash
# Run a tool in several processes: launch.sh PROCESSES TOOL [arguments of the tool]
set -euo pipefail

tools=$(dirname "$(dirname "$0")")
PYTHONPATH="$tools/..${PYTHONPATH:+:$PYTHONPATH}" exec python -m torch.distributed.run \
    --nnodes="${NNODES:-1}" \
    --node_rank="${NODE_RANK:-0}" \
    --master_addr="${MASTER_ADDR:-127.0.0.1}" \
    --master_port="${PORT:-29500}" \
    --nproc_per_node="$1" \
    "$tools/$2" "${@:3}"
