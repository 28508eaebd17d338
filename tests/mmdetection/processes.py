"""Code of a test in a fresh interpreter, or in forks of one."""

import json
import subprocess
import sys
import textwrap
from functools import cache
from pathlib import Path

FOLDER = Path(__file__).parent


def run_python(code, *flags):
    """Standard output of a fresh interpreter; fails with its standard error."""
    return run_and_hear(code, *flags)[0]


def run_and_hear(code, *flags):
    """Standard output of a fresh interpreter, and the lines of this package on its standard error."""
    result = subprocess.run(
        [sys.executable, *flags, "-c", textwrap.dedent(code)], capture_output=True, text=True, timeout=120
    )
    assert result.returncode == 0, result.stderr
    return result.stdout, [line for line in result.stderr.splitlines() if " - mmdet_losses - " in line]


def run_forks(*codes):
    """Each code in a process of its own, in which all but this package and MMDetection's models is imported already."""
    for code in codes:
        run_fork("import_orders", code)


def run_bare(code):
    """What a process says that begins with torch alone."""
    return run_fork("torch", code)


def run_fork(imported, code):
    server = fork_server(imported)
    print(json.dumps(textwrap.dedent(code)), file=server.stdin, flush=True)
    failed, said = json.loads(server.stdout.readline())
    assert not failed, said
    return said


def run_ranks(module, number, folder, limit):
    """``main(rank, folder)`` of a module beside this file, at once in that many forks of a process that imported it."""
    run_forks(
        f"""
        import os, signal, sys
        from pathlib import Path

        signal.signal(signal.SIGALRM, lambda *_: sys.exit("{limit} s are over"))
        signal.alarm({limit})
        os.environ["CUDA_VISIBLE_DEVICES"] = ""
        sys.path[1:1] = {[str(FOLDER.parent), str(FOLDER.parents[1])]!r}
        import {module}, mmdet.models, torch

        torch.set_num_threads(1)

        def run(rank):
            try:
                {module}.main(rank, Path({str(folder)!r}))
            except BaseException:
                import traceback

                traceback.print_exc()
                os._exit(1)
            os._exit(0)

        children = [os.fork() or run(rank) for rank in range({number})]
        try:
            while children:
                child, status = os.wait()
                children.remove(child)
                assert not status, f"a rank ended with {{status}}, said above"
        finally:
            for child in children:
                os.kill(child, signal.SIGKILL)
        """
    )


@cache
def fork_server(imported):
    """One for all tests of a process: what it imports takes most of the time of a test. It ends with its input."""
    command = [sys.executable, str(FOLDER / "fork_server.py"), imported]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


LISTEN = """
import logging

class Texts(logging.Handler):
    def emit(self, record):
        texts.append(record.getMessage())

texts = []
logging.getLogger("mmdet_losses").addHandler(Texts(logging.WARNING))
"""
"""Keeps the texts of this package's warnings."""

BLOCK = """
    import importlib.abc, sys

    class Block(importlib.abc.MetaPathFinder):
        def find_spec(self, name, path=None, target=None):
            if name in BLOCKED:
                raise ModuleNotFoundError(f"No module named {name!r}", name=name)

    sys.meta_path.insert(0, Block())
"""
