"""Build a wheel of mmcv from its sdist: its sources in a few units, or file by file where that fails."""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import tarfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from . import leftovers, mmcv_units
from .failures import Failure
from .permissions import others_can_write
from .progress import Steps

RECIPE = 1  # raise it when the prepared sources of an interrupted build must not be used any more


def build(
    steps: Steps,
    python: Path,
    requirement: str,
    scratch: Path,
    environ: Mapping[str, str],
    use: Callable[[Path], None],
) -> Path:
    """Build a wheel.

    Args:
        steps: Where progress is shown.
        python: The interpreter to build for, with torch, pip, setuptools, wheel and ninja.
        requirement: mmcv or a fork of it as pip takes it, 'mmcv==2.1.0', or the path of an sdist or of a source folder.
        scratch: Folder of the sources and objects. Finished objects that an interrupted build left are used.
        environ: Environment variables of the build.
        use: Installs the wheel and tries it; raises Failure where the wheel is no good.

    Returns:
        The wheel, in `scratch`.
    """
    sources = Sources(scratch, python, requirement, {**environ, "TMPDIR": str(scratch)})
    if sources.left_over():
        steps.note("an interrupted build is continued")
    else:
        sources.fetch(steps, grouped=True)
    if not sources.grouped:
        return sources.compile(steps, use)
    try:
        return sources.compile(steps, use)
    except Failure as failure:
        if not failure.of_the_build:
            raise
        steps.note(
            f"mmcv's sources do not build in a few units here ({failure.detail}), so its files are compiled one by "
            "one, which takes five times as long"
        )
    sources.fetch(steps, grouped=False)
    return sources.compile(steps, use)


class Sources:
    """Unpacked sources of mmcv, and what is known of them."""

    def __init__(self, scratch: Path, python: Path, requirement: str, environ: Mapping[str, str]):
        self.scratch = scratch
        self.folder = scratch / "source"
        self.python = python
        self.requirement = requirement
        self.environ = environ
        self.grouped = False
        self.has_sdist = False
        self.prepared = scratch / "prepared.json"
        self.wanted = [RECIPE, str(python), requirement]

    def left_over(self) -> bool:
        """Whether an interrupted build has prepared these sources; its form is then kept."""
        if Path(self.requirement).is_dir():  # it may have changed since
            return False
        try:
            *wanted, self.grouped = json.loads(self.prepared.read_text())
        except (OSError, ValueError):
            return False
        return wanted == self.wanted

    def fetch(self, steps: Steps, grouped: bool) -> None:
        """Unpack the sources, downloaded where that was not done before, and group them where wanted."""
        self.prepared.unlink(missing_ok=True)
        shutil.rmtree(self.folder, ignore_errors=True)
        self.scratch.mkdir(parents=True, exist_ok=True)
        local = Path(self.requirement)
        if local.is_dir():
            shutil.copytree(local, self.folder, ignore=shutil.ignore_patterns(".git", "build", "dist", "*.egg-info"))
        else:
            self.unpack(local if local.is_file() else self.download(steps))
        self.grouped = grouped
        if grouped:
            try:
                mmcv_units.regroup(self.folder)
            except ValueError as error:
                steps.note(f"{error}, so its files are compiled one by one")
                self.grouped = False
        self.prepared.write_text(json.dumps([*self.wanted, self.grouped]))

    def compile(self, steps: Steps, use: Callable[[Path], None]) -> Path:
        """Make the wheel and try it."""
        wheels = self.scratch / "wheels"
        # Of an interrupted build only the objects are kept, of which ninja knows the finished ones.
        for half_done in (wheels, *self.folder.glob("build/lib*"), *self.folder.glob("build/bdist*")):
            shutil.rmtree(half_done, ignore_errors=True)
        # A folder is never answered for by pip's cache or an index, which may hold a wheel for another torch.
        options = ["-v", "--use-pep517", "--no-deps", "--no-build-isolation", "--wheel-dir", wheels]
        steps.run([self.python, "-m", "pip", "wheel", *options, self.folder], self.environ)
        (wheel,) = wheels.glob("*.whl")
        use(wheel)
        return wheel

    def download(self, steps: Steps) -> Path:
        target = self.scratch / "sdist"
        if not self.has_sdist:
            shutil.rmtree(target, ignore_errors=True)
            name = re.match(r"[\w.-]+", self.requirement)
            options = ["--no-deps", "--no-build-isolation", "--no-binary", name.group() if name else ":all:"]
            command = [self.python, "-m", "pip", "download", *options, "--dest", target, self.requirement]
            steps.run(command, self.environ)
            self.has_sdist = True
        (sdist,) = target.iterdir()
        return sdist

    def unpack(self, sdist: Path) -> None:
        unpacked = self.scratch / "unpacked"
        shutil.rmtree(unpacked, ignore_errors=True)
        safe = sdist.suffix != ".zip" and hasattr(tarfile, "data_filter")
        shutil.unpack_archive(sdist, unpacked, **({"filter": "data"} if safe else {}))
        (top,) = unpacked.iterdir()
        os.replace(top, self.folder)


@contextlib.contextmanager
def scratch_folder(folder: Path) -> Iterator[Path]:
    """A folder for one build, kept when the build is interrupted so that the next one goes on from there.

    What others than the user and root could have changed since is not used.
    """
    scratch = folder / "build"
    leftovers.end_processes("TMPDIR", str(scratch))
    if others_can_write(scratch):
        shutil.rmtree(scratch, ignore_errors=True)
    scratch.mkdir(mode=0o700, parents=True, exist_ok=True)
    try:
        yield scratch
    except BaseException as error:
        leftovers.end_processes("TMPDIR", str(scratch))
        if isinstance(error, Exception):
            shutil.rmtree(scratch, ignore_errors=True)
        raise
    shutil.rmtree(scratch, ignore_errors=True)
