#!/usr/bin/env bash
# Test in several processes: tools/dist_test.sh CONFIG CHECKPOINT GPUS [options of tools/test.py]
# Variables: NNODES, NODE_RANK, MASTER_ADDR, PORT, as MMDetection's.
set -euo pipefail

if [ $# -lt 3 ]; then
    echo "usage: $0 CONFIG CHECKPOINT GPUS [options of tools/test.py]" >&2
    exit 2
fi
exec bash "$(dirname "$0")/tool_runtime/launch.sh" "$3" test.py "$1" "$2" --launcher pytorch "${@:4}"
