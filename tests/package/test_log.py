"""Where the package's lines go."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path

import pytest

from mmdet_losses.log import LOGGER, log, warn

Output = pytest.CaptureFixture[str]


@pytest.fixture
def bare(monkeypatch: pytest.MonkeyPatch) -> None:
    """A process in which nobody has said where lines go; pytest has."""
    monkeypatch.setattr(LOGGER, "hasHandlers", lambda: False)
    monkeypatch.setattr(LOGGER, "level", logging.NOTSET)
    monkeypatch.delenv("RANK", raising=False)


@pytest.fixture
def run_log(tmp_path: Path) -> Iterator[Path]:
    """The log file of a run of MMEngine's, whose logger also writes to standard output."""
    pytest.importorskip("mmengine")
    from mmengine.logging import MMLogger

    file = tmp_path / "run.log"
    logger = MMLogger.get_instance("a_run", log_file=str(file))
    yield file
    for handler in logger.handlers:
        handler.close()
    del MMLogger._instance_dict["a_run"]


@pytest.mark.usefixtures("bare")
def test_standard_error_unless_somebody_has_decided(capsys: Output) -> None:
    log("a line")
    log("a detail", logging.DEBUG)
    warn("a warning")
    out, err = capsys.readouterr()
    assert out == ""
    assert [line.partition(" - ")[2] for line in err.splitlines()] == [
        "mmdet_losses - INFO - a line",
        "mmdet_losses - WARNING - a warning",
    ]


@pytest.mark.usefixtures("bare")
@pytest.mark.parametrize(("level", "lines"), [(logging.DEBUG, 3), (logging.WARNING, 1), (logging.ERROR, 0)])
def test_the_level_of_the_logger_counts(capsys: Output, level: int, lines: int) -> None:
    LOGGER.setLevel(level)
    log("a detail", logging.DEBUG)
    log("a line")
    warn("a warning")
    assert len(capsys.readouterr().err.splitlines()) == lines


@pytest.mark.usefixtures("bare")
def test_logging_can_be_disabled(capsys: Output) -> None:
    logging.disable(logging.INFO)
    try:
        log("a line")
        warn("a warning")
    finally:
        logging.disable(logging.NOTSET)
    assert "a line" not in (err := capsys.readouterr().err) and "a warning" in err


@pytest.mark.usefixtures("bare")
def test_one_process_speaks_for_all(capsys: Output, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RANK", "1")
    warn("a warning")
    assert capsys.readouterr().err == ""
    monkeypatch.setenv("RANK", "0")
    warn("a warning")
    assert capsys.readouterr().err


def test_the_application_s_own_logging_decides(caplog: pytest.LogCaptureFixture, capsys: Output) -> None:
    log("a line")
    assert not caplog.records
    with caplog.at_level(logging.INFO):
        log("a line of 100 %")
        log("a detail", logging.DEBUG)
    assert [(record.name, record.getMessage()) for record in caplog.records] == [("mmdet_losses", "a line of 100 %")]
    assert capsys.readouterr() == ("", "")


@pytest.mark.usefixtures("bare")
def test_a_run_of_mmengine_keeps_the_lines_in_its_file(run_log: Path, capsys: Output) -> None:
    warn("a warning")
    log("a detail", logging.DEBUG)
    (line,) = run_log.read_text().splitlines()
    assert line.endswith("mmdet_losses - WARNING - a warning")
    out, err = capsys.readouterr()
    assert out == "" and err.count("a warning") == 1
