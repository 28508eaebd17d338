"""Plugin of pytest: of a test over all cases, only the first case of each loss is run."""

from __future__ import annotations

import pytest


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    seen = set()
    kept, left = [], []
    for item in items:
        case = getattr(item, "callspec", None) and item.callspec.params.get("case")
        key = (item.path, item.function, case.name) if hasattr(case, "name") else id(item)
        (left if key in seen else kept).append(item)
        seen.add(key)
    items[:] = kept
    config.hook.pytest_deselected(items=left)
