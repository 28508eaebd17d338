"""What several tests of heads look at."""

import logging

import pytest


@pytest.fixture
def warnings_of_guard(monkeypatch):
    """Messages above INFO, with their levels."""
    messages = []

    def print_log(message, logger=None, level=logging.INFO):
        if level > logging.INFO:
            messages.append((message, level))

    monkeypatch.setattr("mmengine.logging.print_log", print_log)
    return messages
