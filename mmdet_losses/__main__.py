"""``python -m mmdet_losses COMMAND``: every file of ``tools/`` by its name."""

from __future__ import annotations

import ast
import os
import re
import subprocess
import sys
from collections.abc import Sequence
from difflib import get_close_matches
from pathlib import Path
from textwrap import wrap
from types import ModuleType

from . import __version__
from .config_files import shipped

COMMAND = "python -m mmdet_losses"
USAGE = f"""usage: {COMMAND} COMMAND [arguments]

What tools/ holds, for an installed package too. A command may be cut short where it stays
clear: `list`. COMMAND --help has the options of a command, --version the package's version.
"""


MMDETECTION = "it needs an environment with MMDetection 3.x"
EXTRA = "`pip install 'mmdet-losses[tools]'` installs what the tools need beside MMDetection"
CURES = {
    "mmengine": MMDETECTION,
    "mmcv": MMDETECTION,
    "mmdet": MMDETECTION,
    "mmcv._ext": f"mmcv has no compiled operators, `{COMMAND} build-mmcv --install OUT` builds it with them",
    "pkg_resources": "`pip install 'setuptools<81'` brings it back",
    **dict.fromkeys(("cv2", "filelock", "matplotlib", "numpy", "tqdm"), EXTRA),
}
"""What to do about a module that a tool lacks."""


def commands() -> dict[str, Path]:
    """Every command and its file: the files of tools, and of its folders that are no packages."""
    tools = shipped("tools")
    folders = [tools, *(path for path in sorted(tools.glob("*/")) if not (path / "__init__.py").exists())]
    files = [path for folder in folders for path in folder.glob("*.*") if path.suffix in (".py", ".sh")]
    return {
        path.stem.replace("_", "-"): path for path in sorted(files, key=lambda path: (path.stem, path.suffix == ".py"))
    }


def about(file: Path) -> str:
    """What a tool says of itself: the first sentence of its docstring, or of a script's first comment."""
    text = file.read_text(encoding="utf-8")
    if file.suffix == ".py":
        said = ast.get_docstring(ast.parse(text)) or ""
    else:
        said = next((line.removeprefix("# ") for line in text.splitlines() if line.startswith("# ")), "")
    return re.split(r"(?<=\.)\s|\n\n|: tools/", said)[0].replace("\n", " ")


def overview(known: dict[str, Path]) -> str:
    width = max(map(len, known)) + 4
    lines = [USAGE, "commands:"]
    for name, file in known.items():
        lines += wrap(about(file), 100, initial_indent=f"  {name}".ljust(width), subsequent_indent=" " * width)
    return "\n".join(lines)


def chosen(word: str, known: dict[str, Path]) -> str:
    """The command that a word means.

    Raises:
        SystemExit: Where it means none, or more than one.
    """
    word = word.replace("_", "-")
    found = [word] if word in known else [name for name in known if name.startswith(word)]
    if len(found) == 1:
        return found[0]
    if found:
        stop(f"{word!r} may mean {' or '.join(found)}")
    near = get_close_matches(word, known, n=1)
    stop(f"there is no command {word!r}" + (f"; did you mean {near[0]}?" if near else f": {', '.join(known)}"))


def stop(message: str) -> None:
    sys.exit(f"mmdet_losses: error: {message}")


def run(name: str, file: Path, arguments: Sequence[str]) -> int:
    """Run a tool with its arguments, as if it had been called by its path."""
    if file.suffix == ".sh":
        beside = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath)])
        return subprocess.run(["bash", str(file), *arguments], env={**os.environ, "PATH": beside}).returncode
    sys.argv = [f"{COMMAND} {name}", *arguments]
    sys.path.insert(0, str(shipped("tools")))
    # As runpy does it, which would put the path of the file in place of the command that messages name.
    module = sys.modules["__main__"] = ModuleType("__main__")
    module.__file__ = str(file)
    try:
        exec(compile(file.read_bytes(), str(file), "exec"), vars(module))
    except ModuleNotFoundError as error:
        if error.name not in CURES:
            raise
        stop(f"{name}: there is no module {error.name}: {CURES[error.name]}")
    return 0


def main() -> int:
    arguments = sys.argv[1:]
    known = commands()
    if not known:
        stop(f"this installation has no tools: there is no folder {shipped('tools')}")
    if not arguments or arguments[0] in ("-h", "--help", "help"):
        print(overview(known))
        return 0 if arguments else 2
    if arguments[0] == "--version":
        print(f"mmdet_losses {__version__}, {Path(__file__).parent}")
        return 0
    name = chosen(arguments[0], known)
    return run(name, known[name], arguments[1:])


if __name__ == "__main__":
    sys.exit(main())
