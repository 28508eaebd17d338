#!/bin/sh
# Makes the environment of this bundle, without a network, on a Python that has torch:
#
#     OUT/setup.sh [VENV]                 # a virtual environment on top of that Python (default: .venv)
#     OUT/setup.sh --target FOLDER        # a folder for PYTHONPATH
#
# MMDET_LOSSES_PYTHON names the Python; without it, python3 or python@PYTHON@.
here=$(CDPATH='' cd -- "$(dirname -- "$0")" && pwd) || exit 1
fits='import sys; sys.exit("%d.%d" % sys.version_info[:2] != "@PYTHON@")'
if [ -n "$MMDET_LOSSES_PYTHON" ]; then
    set -- "$MMDET_LOSSES_PYTHON" -- "$@"
else
    set -- python3 python@PYTHON@ python -- "$@"
fi
found=
while [ "$1" != -- ]; do
    if [ -z "$found" ] && "$1" -c "$fits" 2>/dev/null; then found=$1; fi
    tried="${tried:+$tried, }$1"
    shift
done
shift
if [ -z "$found" ]; then
    echo "setup: this bundle is for Python @PYTHON@, and none was found ($tried): name the one that has torch in" \
        "MMDET_LOSSES_PYTHON=PYTHON, or make a bundle for another version with tools/bundle.py --python." >&2
    exit 1
fi
start='import sys; sys.path.insert(0, sys.argv[1] + "/tools"); from bundling.set_up import main; main(*sys.argv[1:])'
exec "$found" -B -c "$start" "$here" "$@"
