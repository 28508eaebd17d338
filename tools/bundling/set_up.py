"""What `setup.sh` of a bundle does on the other machine. Standard library only, and no network."""

from __future__ import annotations

import argparse
import json
import os
import platform
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

from environment import build_cli
from environment.failures import AGAIN, Failure
from environment.mmcv_wheel import CHECK as OPERATORS
from environment.progress import Steps
from environment.torch_build import Torch

from . import parts

MARKER = ".made-by-mmdet-losses-setup"
CHECK = "import cv2, torch, mmcv._ext, mmdet.models, mmdet_losses; print(torch.__version__, mmdet_losses.__file__)"
INSTALLED = """
import json, sys
from importlib.metadata import PackageNotFoundError, version
found = {}
for name in sys.argv[1:]:
    try:
        found[name] = version(name)
    except PackageNotFoundError:
        pass
print(json.dumps(found))
"""
# A virtual environment sees the packages of the Python that it is made from, but not those of another virtual
# environment: their folders, less those that it sees anyway, go into a .pth file.
PATHS = """
import json, os, sys
names = ("site-packages", "dist-packages")
print(json.dumps([os.path.abspath(path) for path in sys.path if os.path.basename(path) in names]))
"""


def main(bundle: str, *words: str) -> None:
    """Set up a bundle; exits with a sentence where that fails.

    Args:
        bundle: Its folder.
        *words: What the user gave to setup.sh.
    """
    parser = argparse.ArgumentParser(
        prog="setup.sh",
        description="Make an environment for mmdet_losses on the torch that is here, without a network.",
        epilog="MMDET_LOSSES_PYTHON names the Python that has torch.",
    )
    parser.add_argument("venv", nargs="?", type=Path, metavar="VENV", help="the virtual environment to make (.venv)")
    parser.add_argument("--target", type=Path, metavar="FOLDER", help="a folder for PYTHONPATH instead")
    arguments = parser.parse_args(words)
    if arguments.venv and arguments.target:
        parser.error("give VENV or --target FOLDER, not both")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    folder = (arguments.target or arguments.venv or Path(".venv")).absolute()
    try:
        setup = SetUp(Path(bundle), folder, bool(arguments.target))
        setup.run()
    except Failure as failure:
        sys.exit(f"setup: {failure}")
    except OSError as error:
        sys.exit(
            f"setup: {error.filename or folder}: {error.strerror}; free some disk or give another folder, {AGAIN}."
        )
    except KeyboardInterrupt:
        sys.exit(f"setup: interrupted; {AGAIN}.")
    print(f"PYTHONPATH={folder} {sys.executable}" if arguments.target else setup.python)


class SetUp:
    """An environment that is made from a bundle."""

    def __init__(self, bundle: Path, folder: Path, is_target: bool):
        self.bundle = bundle
        self.folder = folder
        self.is_target = is_target
        self.python = Path(sys.executable) if is_target else folder / "bin" / "python"
        self.work = folder.with_name(folder.name + ".setup")
        try:
            self.manifest: dict[str, Any] = json.loads((bundle / "bundle.json").read_text())
        except (OSError, ValueError) as error:
            raise Failure(f"{bundle / 'bundle.json'} cannot be read ({error}): copy the whole bundle again.") from None
        # Neither the user's settings of pip nor an index decide what is installed.
        kept = {key: value for key, value in os.environ.items() if not key.startswith(("PIP_", "PYTHONHOME"))}
        path = os.pathsep.join(filter(None, [str(folder) if is_target else "", os.environ.get("PYTHONPATH")]))
        self.environ = {
            **kept,
            **({"PYTHONPATH": path} if path else {}),
            "PIP_CONFIG_FILE": os.devnull,
            "PIP_NO_INDEX": "1",
            "PIP_FIND_LINKS": str(self.work),
            "PIP_NO_CACHE_DIR": "1",
            "PIP_NO_INPUT": "1",
            "PIP_DISABLE_PIP_VERSION_CHECK": "1",
            "PIP_ROOT_USER_ACTION": "ignore",
        }

    def run(self) -> None:
        """Make the environment."""
        self.check_machine()
        torch = self.check_torch(Path(sys.executable))
        self.check_folder()
        mmcv = self.manifest["mmcv"]
        steps = Steps(total=4 + bool(mmcv), log=self.folder.with_name(self.folder.name + ".log"))
        with steps.step(f"{len(self.manifest['parts'])} parts of the bundle"):
            parts.unpack(self.bundle, self.manifest["parts"], self.work)
        with steps.step(f"{self.folder}, on {sys.executable} with torch {torch.version}"):
            self.make_folder(steps)
            self.check_torch(self.python)
            self.check_there(steps)
        with steps.step(f"{len(self.manifest['wheels'])} packages"):
            self.install(steps, *(self.work / name for name in self.manifest["wheels"]))
        if mmcv:
            self.install_mmcv(steps, torch, **mmcv)
        with steps.step("check"):
            steps.run([self.python, "-c", CHECK], self.environ)
            self.check_torch(self.python)
        shutil.rmtree(self.work, ignore_errors=True)

    def check_machine(self) -> None:
        """Raise Failure where the wheels do not fit."""
        python, here = self.manifest["python"], "{}.{}".format(*sys.version_info)
        if here != python:
            raise Failure(f"this bundle is for Python {python}, and {sys.executable} is {here}.")
        if platform.machine() != self.manifest["machine"]:
            raise Failure(f"this bundle is for {self.manifest['machine']}, and this machine is {platform.machine()}.")
        library, version = platform.libc_ver()
        numbers = [int(number) for number in version.split(".")[:2] if number.isdigit()]
        if library != "glibc" or numbers < self.manifest["glibc"]:
            needed = ".".join(map(str, self.manifest["glibc"]))
            raise Failure(f"this bundle's wheels need glibc {needed} or newer, and here is {library} {version}.")

    def check_torch(self, python: Path) -> Torch:
        """Raise Failure where a Python has not the torch that was asked for."""
        wanted, cuda = self.manifest["torch"], self.manifest["cuda"]
        try:
            torch = Torch.of(python, self.environ)
        except Failure as failure:
            found = str(failure).partition("(")[2].partition("): see")[0]
            raise Failure(
                f"this bundle needs torch {wanted}, and {python} cannot import it ({found}): name the Python that "
                f"has it in MMDET_LOSSES_PYTHON=PYTHON, {AGAIN}."
            ) from None
        version = torch.version.partition("+")[0]
        if version != wanted:
            raise Failure(
                f"this bundle is for torch {wanted}, and {python} has torch {torch.version}: name another Python in "
                f"MMDET_LOSSES_PYTHON=PYTHON, or make a bundle with tools/bundle.py --torch {version}."
            )
        if cuda and torch.cuda != cuda:
            raise Failure(
                f"this bundle is for torch with CUDA {cuda}, and {python} has it with "
                f"{f'CUDA {torch.cuda}' if torch.cuda else 'no CUDA'}: make a bundle with the other --cuda, or without."
            )
        return torch

    def check_folder(self) -> None:
        """Remove what an earlier setup made; raise Failure where the folder is another's."""
        if not os.path.lexists(self.folder):
            return
        if not (self.folder / MARKER).is_file() and (not self.folder.is_dir() or any(self.folder.iterdir())):
            raise Failure(f"{self.folder} was not made by this script, so it is left alone: give another folder.")
        shutil.rmtree(self.folder)

    def make_folder(self, steps: Steps) -> None:
        self.folder.mkdir(parents=True)
        (self.folder / MARKER).write_text("Made by setup.sh of a bundle of mmdet_losses; safe to delete.\n")
        if self.is_target:
            return
        # pip comes from the bundle: the module ensurepip is missing on some systems.
        options = ["--system-site-packages", "--without-pip"]
        steps.run([sys.executable, "-m", "venv", *options, self.folder], self.environ)
        seen = set(self.ask(self.python, PATHS))
        more = [path for path in self.ask(Path(sys.executable), PATHS) if path not in seen]
        if more:
            (site,) = self.folder.glob("lib/python*/site-packages")
            lines = [f"import site; site.addsitedir({path!r})\n" for path in more]
            (site / "torch_of_another_environment.pth").write_text("".join(lines))

    def check_there(self, steps: Steps) -> None:
        """Raise Failure where something is missing that the list of this machine had."""
        there = self.manifest["there"]
        found = self.ask(self.python, INSTALLED, *there)
        missing = [name for name in there if name not in found]
        if missing:
            raise Failure(
                f"the list given with --have when the bundle was made has {', '.join(missing)}, and {sys.executable} "
                "has not: name the Python of that list in MMDET_LOSSES_PYTHON=PYTHON, or make a bundle with this one's."
            )
        if there:
            steps.note(f"torch and {len(there)} packages more are used as they are here")

    def ask(self, python: Path, program: str, *words: str) -> Any:
        command = [str(python), "-c", program, *words]
        answer = subprocess.run(command, env=self.environ, capture_output=True, text=True)
        if answer.returncode:
            last = (answer.stderr.strip().splitlines() or ["no message"])[-1]
            raise Failure(f"{python} does not run ({last}): name another in MMDET_LOSSES_PYTHON=PYTHON, {AGAIN}.")
        return json.loads(answer.stdout.splitlines()[-1])

    def install(self, steps: Steps, *wheels: Path) -> None:
        """Install wheels with the bundle's own pip, and nothing else, so that torch stays as it is."""
        pip = [self.python, self.work / self.manifest["pip"] / "pip", "install", "--no-deps"]
        target = ["--target", self.folder, "--upgrade"] if self.is_target else []
        steps.run([*pip, *target, *wheels], self.environ)

    def install_mmcv(self, steps: Steps, torch: Torch, wheel: str | None, sdist: str) -> None:
        """Install mmcv from its wheel where that works, else build it here."""
        devices = ["cpu", *(["cuda"] if self.manifest["cuda"] and torch.archs else [])]
        with steps.step("mmcv and its operators"):
            if wheel:
                try:
                    self.install(steps, self.work / wheel)
                    steps.run([self.python, "-c", OPERATORS, *devices], self.environ)
                    return
                except Failure as failure:
                    steps.note(f"{wheel} does not work here ({failure.detail}), so mmcv is built from its sources")
            steps.note("mmcv is built: about two minutes of one core, eight or more with CUDA")
            before = dict(os.environ)
            os.environ.clear()
            os.environ.update(self.environ)
            try:
                built = build_cli.build(str(self.python), str(self.work / sdist), self.work / "mmcv", False)
            finally:
                os.environ.clear()
                os.environ.update(before)
            self.install(steps, built)
