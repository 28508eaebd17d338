"""Choose the Python that the environment is made from."""

import json
import os
import shutil
import subprocess
import sys

SUPPORTED = ((3, 12), (3, 11), (3, 10))
PROBE = """
import importlib.util, json, sys, sysconfig
print(json.dumps({
    "version": list(sys.version_info[:3]),
    "executable": sys.executable,
    "include": sysconfig.get_paths()["include"],
    "venv": bool(importlib.util.find_spec("venv") and importlib.util.find_spec("ensurepip")),
}))
"""


def probe(python):
    """Return what `python` says about itself, or None where it does not run, as a pyenv shim may."""
    environ = {key: value for key, value in os.environ.items() if not key.startswith("PYTHON")}
    try:
        answer = subprocess.run(
            [python, "-c", PROBE],
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=environ,
            timeout=60,
            check=True,
        )
        return json.loads(answer.stdout.decode())
    except (OSError, subprocess.SubprocessError, ValueError):
        return None


def find():
    """Return (facts of a supported interpreter, '') or (None, one sentence that says what is needed)."""
    chosen = os.environ.get("MMDET_LOSSES_PYTHON")
    names = ["python%d.%d" % version for version in SUPPORTED]
    others = []
    for candidate in [chosen] if chosen else [sys.executable, *names]:
        path = shutil.which(candidate)
        facts = probe(path) if path else None
        if not facts:
            continue
        version = tuple(facts["version"][:2])
        if version in SUPPORTED and facts["venv"]:
            return facts, ""
        others.append((version in SUPPORTED, version, path))
    if any(supported for supported, _, _ in others):
        _, version, path = max(others)
        name = "python%d.%d" % version
        return None, (
            "%s has no `venv` module, from which the environment is made: install it "
            "(for example `apt install %s-venv`) and run the same command again." % (path, name)
        )
    return None, (
        "Python 3.10, 3.11 or 3.12 is needed (mmcv 2.1.0 does not build on 3.13 or newer), and %s: install "
        "one (say `apt install python3.12 python3.12-venv python3.12-dev`, or `uv python install 3.12`) "
        "and run the same command again, or give its path in MMDET_LOSSES_PYTHON." % what_was_found(chosen, others)
    )


def what_was_found(chosen, others):
    if not others:
        return "%s does not run" % chosen if chosen else "none was found"
    return "only %s was found" % ", ".join("%d.%d (%s)" % (*version, path) for _, version, path in others)
