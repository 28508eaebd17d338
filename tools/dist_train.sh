#!/usr/bin/env bash
# Train in several processes: tools/dist_train.sh CONFIG GPUS [options of tools/train.py]
# Variables: NNODES, NODE_RANK, MASTER_ADDR, PORT, as MMDetection's.
set -euo pipefail

if [ $# -lt 2 ]; then
    echo "usage: $0 CONFIG GPUS [options of tools/train.py]" >&2
    exit 2
fi
exec bash "$(dirname "$0")/tool_runtime/launch.sh" "$2" train.py "$1" --launcher pytorch "${@:3}"
