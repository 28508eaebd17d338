"""Code of a test in a fresh interpreter, or in forks of one."""

import subprocess
import sys
import textwrap
from pathlib import Path


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
    run_python(
        f"""
        import sys
        sys.path.insert(0, {str(Path(__file__).parent)!r})
        from import_orders import in_a_process
        for code in {[textwrap.dedent(code) for code in codes]!r}:
            in_a_process(lambda: exec(code, {{}}))
        """
    )


BLOCK = """
    import importlib.abc, sys

    class Block(importlib.abc.MetaPathFinder):
        def find_spec(self, name, path=None, target=None):
            if name in BLOCKED:
                raise ModuleNotFoundError(f"No module named {name!r}", name=name)

    sys.meta_path.insert(0, Block())
"""
