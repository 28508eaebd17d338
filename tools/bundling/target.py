"""The other machine, and which of the pins are meant for it."""

from __future__ import annotations

import re
from dataclasses import dataclass

from environment.failures import Failure
from environment.make import pins, version_of

from .pip_packaging import InvalidVersion, Marker, Version

PYTHONS = ("3.10", "3.11", "3.12")
MACHINES = ("x86_64", "aarch64")
GLIBC = 28  # of 2.28, the oldest that the pins have wheels for
NUMPY_1 = {"numpy": "1.26.4", "opencv-python-headless": "4.11.0.86"}  # torch below 2.3 is compiled for NumPy 1


@dataclass(frozen=True)
class Target:
    """What was asked for."""

    python: str
    torch: str
    cuda: str | None
    machine: str

    def check(self) -> None:
        """Raise Failure where no environment can be made from the pins."""
        if self.python not in PYTHONS:
            raise Failure(
                f"--python must be {', '.join(PYTHONS[:-1])} or {PYTHONS[-1]}, got {self.python!r}: "
                "mmcv 2.1.0 does not build on another."
            )
        if self.machine not in MACHINES:
            raise Failure(f"--machine must be {' or '.join(MACHINES)}, got {self.machine!r}.")
        try:
            version = Version(self.torch)
        except InvalidVersion:
            version = None
        if version is None or version.local or len(version.release) != 3 or version.release < (2, 1):
            raise Failure(f"--torch must be a version from 2.1.0 on, as in 2.11.0, got {self.torch!r}.")
        if self.cuda is not None and not re.fullmatch(r"\d+\.\d+", self.cuda):
            raise Failure(f"--cuda must be a version as torch.version.cuda gives it, as in 13.0, got {self.cuda!r}.")

    def markers(self, extra: str = "") -> dict[str, str]:
        """What environment markers of requirements say there."""
        return {
            "implementation_name": "cpython",
            "implementation_version": f"{self.python}.0",
            "os_name": "posix",
            "platform_machine": self.machine,
            "platform_python_implementation": "CPython",
            "platform_system": "Linux",
            "python_full_version": f"{self.python}.0",
            "python_version": self.python,
            "sys_platform": "linux",
            "extra": extra,
        }

    def pinned(self) -> dict[str, str]:
        """Distribution name to version: the pins for this Python but torch, and versions that its torch works with."""
        chosen = {}
        for name, line in pins().items():
            marker = line.partition(";")[2].strip()
            if name != "torch" and (not marker or Marker(marker).evaluate(self.markers())):
                chosen[name] = version_of(line)
        if Version(self.torch).release < (2, 3):
            chosen.update(NUMPY_1)
        return chosen

    def pip_options(self) -> list[str]:
        """What makes pip download for this Python and machine."""
        platforms = [f"manylinux_2_{minor}_{self.machine}" for minor in range(GLIBC, 4, -1)]
        platforms.append(f"manylinux2014_{self.machine}")
        if self.machine == "x86_64":
            platforms += ["manylinux2010_x86_64", "manylinux1_x86_64"]
        options = ["--only-binary=:all:", "--implementation", "cp", "--python-version", self.python]
        return options + [part for platform in platforms for part in ("--platform", platform)]
