"""Where the runs of a comparison take place. An engine starts workers; queue, placement and retries are a library's."""

from __future__ import annotations

from concurrent.futures import Future
from types import TracebackType
from typing import Protocol

from ..jobs import Job


class Engine(Protocol):
    """What does runs. As a context, it ends what still runs when it is left."""

    def about(self) -> str:
        """Say in a line where the runs take place."""
        ...

    def submit(self, job: Job) -> Future[None]:
        """Queue a run. When the future is done, the run's folder says what became of it."""
        ...

    def __enter__(self) -> Engine: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None: ...
