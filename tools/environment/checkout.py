"""Install this checkout into the environment, and bring it up to date where only the checkout has changed."""

from __future__ import annotations

import os
import re
import shutil
import sys
import tempfile
from pathlib import Path

from .locks import Lock
from .progress import Steps
from .state import ROOT, Environment

TITLE = "mmdet_losses, from this checkout"


def install(steps: Steps, environment: Environment) -> None:
    """Install the package in editable form; needs no network, and writes nothing into the checkout."""
    for info in environment.folder.glob("lib/*/site-packages/mmdet_losses-*.dist-info"):
        if not (info / "RECORD").is_file():  # half installed by an interrupted run: pip could not remove it
            shutil.rmtree(info)
    # Of an installation that wrote into the checkout: Python would find its old metadata first, from that folder.
    shutil.rmtree(ROOT / "mmdet_losses.egg-info", ignore_errors=True)
    with tempfile.TemporaryDirectory() as scratch:
        config = Path(scratch, "setup.cfg")
        config.write_text(f"[egg_info]\negg_base = {scratch}\n")
        options = ["--no-deps", "--no-build-isolation", "--no-index", "--editable", ROOT]
        environ = {**clean_environ(environment), "DIST_EXTRA_CONFIG": str(config)}
        steps.run([environment.python, "-m", "pip", "install", *options], environ)


def mend(environment: Environment, lock: Lock) -> None:
    """Bring a finished environment up to date with a checkout that has moved or has another pyproject.toml.

    Args:
        environment: The environment.
        lock: The exclusive lock on it, which the commands inherit.
    """
    moved = environment.stale() != {"project"}
    reason = "the checkout or the environment has moved" if moved else "pyproject.toml has changed"
    print(f"tools/run: bringing {environment.folder} up to date, since {reason}", file=sys.stderr, flush=True)
    steps = Steps(total=1, log=environment.log, append=True)
    steps.inherit = (lock.fd,) if lock.fd >= 0 else ()
    with steps.step(TITLE):
        relocate(environment.folder, environment.recorded()["folder"])
        install(steps, environment)
    environment.mark(finished=True)


def relocate(folder: Path, before: str) -> None:
    """Let the scripts of an environment that was at `before` name the folder where it is now."""
    if before == str(folder):
        return
    pattern = re.compile(rb"(?<![\w./-])" + re.escape(os.fsencode(before)) + rb"(?![\w.-])")
    for script in (folder / "bin").iterdir():
        if script.is_symlink() or not script.is_file():
            continue
        text = script.read_bytes()
        changed = pattern.sub(lambda _: os.fsencode(folder), text)
        if changed != text and b"\0" not in text:
            temporary = script.with_name(f".{script.name}.new")
            temporary.write_bytes(changed)
            shutil.copymode(script, temporary)
            os.replace(temporary, script)


def clean_environ(environment: Environment) -> dict[str, str]:
    """The user's variables, less those that would send pip's or Python's work elsewhere."""
    dropped = re.compile("PYTHON|PIP_(TARGET|PREFIX|ROOT|CONSTRAINT|BUILD_CONSTRAINT|REQUIRE_HASHES)$")
    environ = {key: value for key, value in os.environ.items() if not dropped.match(key)}
    environ.update(
        PATH=f"{environment.folder / 'bin'}{os.pathsep}{environ.get('PATH', os.defpath)}",
        VIRTUAL_ENV=str(environment.folder),
        PIP_USER="0",
        PIP_NO_INPUT="1",
        PIP_PROGRESS_BAR="off",
        PIP_ROOT_USER_ACTION="ignore",
        PIP_DISABLE_PIP_VERSION_CHECK="1",
    )
    return environ
