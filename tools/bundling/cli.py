"""The command line of `tools/bundle.py`."""

from __future__ import annotations

import argparse
import json
import os
import platform
import shutil
import signal
import sys
from pathlib import Path

from environment.failures import AGAIN, Failure
from environment.progress import Steps

from . import download, have, parts
from .target import GLIBC, Target

MANIFEST = "bundle.json"
BUILD_TOOLS = ("setuptools", "wheel", "packaging")


def main(description: str | None) -> None:
    """Make a bundle; exits with a sentence where that fails."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path, metavar="OUT", help="the folder to carry over")
    parser.add_argument("--python", required=True, metavar="VERSION", help="of the other machine, as in 3.12")
    parser.add_argument("--torch", required=True, metavar="VERSION", help="that is installed there, as in 2.11.0")
    parser.add_argument("--cuda", metavar="VERSION", help="torch.version.cuda there; takes mmcv with CUDA operators")
    parser.add_argument("--have", type=Path, metavar="FILE", help="`pip list` or `pip freeze` of the other machine")
    parser.add_argument("--mmcv-wheel", type=Path, metavar="FILE", help="mmcv, built for this Python and torch")
    parser.add_argument("--machine", default=platform.machine(), help="processor of the other machine (%(default)s)")
    arguments = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    target = Target(arguments.python, arguments.torch, arguments.cuda, arguments.machine)
    out = arguments.out.absolute()
    work = out.with_name(out.name + ".new")
    try:
        target.check()
        download.check_checkout()
        if arguments.mmcv_wheel:
            download.check_wheel(arguments.mmcv_wheel, target)
        there = {}
        if arguments.have:
            there = have.read_list(arguments.have)
            have.check_torch(there, target, arguments.have)
        if os.path.lexists(out) and not (out / MANIFEST).is_file() and not (out.is_dir() and not any(out.iterdir())):
            raise Failure(f"{out} is no bundle, so it is left alone: give another folder.")
        shutil.rmtree(work, ignore_errors=True)
        work.mkdir(parents=True)
        steps = Steps(total=4, log=out.with_name(out.name + ".log"))
        make(steps, target, there, arguments.mmcv_wheel, work)
        shutil.rmtree(out, ignore_errors=True)
        (work / "bundle").rename(out)
    except Failure as failure:
        sys.exit(f"bundle: {failure}")
    except OSError as error:
        sys.exit(f"bundle: {error.filename or out}: {error.strerror}; free some disk or give another folder, {AGAIN}.")
    except KeyboardInterrupt:
        sys.exit(f"bundle: interrupted; nothing was put into {out}.")
    finally:
        shutil.rmtree(work, ignore_errors=True)
    print(out)


def make(steps: Steps, target: Target, there: dict[str, str], mmcv_wheel: Path | None, work: Path) -> None:
    """Make a bundle.

    Args:
        steps: Where progress is shown; runs the commands.
        target: The machine that it is for.
        there: Distributions that are there, by canonical name, with their versions.
        mmcv_wheel: A wheel of mmcv that is to be used, checked.
        work: An empty folder; the bundle is its folder `bundle`.
    """
    pinned = target.pinned()
    mmcv = pinned.pop("mmcv")
    fetched = work / "wheels"
    with steps.step(f"wheels for Python {target.python}"):
        wheels = download.wheels(steps, target, pinned, fetched)
    with steps.step("mmdet_losses, from this checkout"):
        environ = download.builder(steps, [wheels[name] for name in BUILD_TOOLS], work)
        wheels["mmdet-losses"] = download.package(steps, environ, fetched)
    left_out = have.left_out({**wheels, "mmcv": None}, there, target)
    files = [path for name, path in wheels.items() if name not in left_out]
    sdist = built = None
    with steps.step(f"mmcv {mmcv}"):
        if "mmcv" in left_out:
            steps.note("mmcv is there")
        else:
            built = mmcv_wheel or download.cached_wheel(steps, mmcv, target)
            steps.note(f"{built} is taken" if built else "no wheel for that torch is cached: setup.sh will build it")
            sdist = download.sources(steps, mmcv, environ, work / "sdist")
    bundle = work / "bundle"
    bundle.mkdir()
    with steps.step("parts"):
        everything = [*files, *filter(None, (built, sdist))]
        sums = parts.pack(everything, bundle)
        manifest = {
            "python": target.python,
            "torch": target.torch,
            "cuda": target.cuda,
            "machine": target.machine,
            "glibc": [2, GLIBC],
            "wheels": sorted(path.name for path in files),
            "pip": wheels["pip"].name,
            "mmcv": None if sdist is None else {"wheel": built and built.name, "sdist": sdist.name},
            "there": dict(left_out.values()),
            "parts": sums,
        }
        (bundle / MANIFEST).write_text(json.dumps(manifest, indent=1) + "\n")
        download.copy_tools(bundle)
        script = bundle / "setup.sh"
        text = Path(__file__).with_name("setup.sh").read_text().replace("@PYTHON@", target.python)
        script.write_text(text)
        script.chmod(0o755)
    size = sum(path.stat().st_size for path in everything) / 2**20
    steps.note(f"{len(everything)} files of {size:.0f} MiB in {len(sums)} parts; {len(left_out)} left out as there")
