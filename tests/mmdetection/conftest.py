"""What several tests of heads look at."""

import logging

import pytest

from mmdet_losses.log import LOGGER


class Lines(logging.Handler):
    """Keeps the text and the level of each line."""

    def __init__(self, level=logging.NOTSET):
        super().__init__(level)
        self.lines = []

    def emit(self, record):
        self.lines.append((record.getMessage(), record.levelno))


@pytest.fixture
def lines_at_info():
    """Messages of INFO and above, with their levels."""
    handler, before = Lines(), LOGGER.level
    LOGGER.addHandler(handler)
    LOGGER.setLevel(logging.INFO)
    yield handler.lines
    LOGGER.setLevel(before)
    LOGGER.removeHandler(handler)


@pytest.fixture
def warnings_of_guard():
    """Messages above INFO, with their levels."""
    handler = Lines(logging.INFO + 1)
    LOGGER.addHandler(handler)
    yield handler.lines
    LOGGER.removeHandler(handler)
