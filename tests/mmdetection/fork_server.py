"""Runs code in forks of a process in which all but this package and MMDetection's models is imported already.

Takes one JSON string of code per line of standard input, and answers with whether it failed and what it wrote.
"""

import json
import os
import signal
import sys
import tempfile

from import_orders import in_a_process

LIMIT = 120
"""Seconds that a fork may take."""


def run(code):
    signal.alarm(LIMIT)
    exec(code, {})


def main():
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
    assert not {"mmdet.models", "mmdet_losses"} & set(sys.modules)
    main()
