"""Runs code in forks of a process in which all but this package and MMDetection's models is imported already, or torch.

The name of the module that imports it, ``import_orders`` or ``torch``, is the argument.
Takes one JSON string of code per line of standard input, and answers with whether it failed and what it wrote.
"""

import gc
import importlib
import json
import os
import signal
import sys
import tempfile
import traceback
import types

LIMIT = 120
"""Seconds that a fork may take."""


def in_a_process(action):
    child = os.fork()
    if child == 0:
        try:
            action()
        except BaseException:
            traceback.print_exc()
            os._exit(1)
        os._exit(0)
    if os.waitpid(child, 0)[1]:
        raise SystemExit(1)


def run(code):
    signal.alarm(LIMIT)
    main_module = sys.modules["__main__"] = types.ModuleType("__main__")
    exec(code, vars(main_module))
    sys.stdout.flush()


def main():
    gc.freeze()
    answers = os.fdopen(os.dup(1), "w")
    for line in sys.stdin:
        code, failed = json.loads(line), False
        with tempfile.TemporaryFile("w+") as said:
            os.dup2(said.fileno(), 1)
            os.dup2(said.fileno(), 2)
            try:
                in_a_process(lambda code=code: run(code))
            except SystemExit:
                failed = True
            said.seek(0)
            print(json.dumps([failed, said.read()]), file=answers, flush=True)


if __name__ == "__main__":
    importlib.import_module(sys.argv[1])
    assert not {"mmdet.models", "mmdet_losses"} & set(sys.modules)
    main()
