"""Registration in every order in which this package and MMDetection's models can come into a process."""

import json
import os
import subprocess
import sys
from itertools import permutations

import import_orders
import pytest

STEPS = list(import_orders.STEPS)
LIGHT = [step for step in STEPS if step != "mmdet.models"]
ORDERS = [
    *permutations(STEPS),
    ("mmdet.models",),
    *(order for length in range(len(STEPS)) for order in permutations(LIGHT, length)),
]
WITHOUT_THE_PACKAGE = [(), ("mmdet.models",)]


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    config = tmp_path_factory.mktemp("config") / "config.py"
    config.write_text('custom_imports = dict(imports=["mmdet_losses"], allow_failed_imports=False)\n')
    result = subprocess.run(
        [sys.executable, import_orders.__file__, str(config)],
        capture_output=True,
        text=True,
        timeout=600,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    assert result.returncode == 0, result.stderr
    lines = [json.loads(line) for line in result.stdout.splitlines()]
    return {tuple(line.pop("done")): line for line in lines}


def test_every_order_is_gone(found):
    assert len(found) == 120 + 1 + 65
    assert set(found) == set(ORDERS)
    assert {order for order, one in found.items() if one["models there"]} == {
        order for order in ORDERS if "mmdet.models" in order
    }


@pytest.mark.parametrize("built", ["bare", "in scope"])
def test_a_bare_name_is_ours_in_every_order(built, found):
    theirs = {order for order, one in found.items() if not one[built].startswith("mmdet_losses.")}
    assert theirs == set(WITHOUT_THE_PACKAGE)


def test_one_line_says_so_in_every_order(found):
    assert {order for order, one in found.items() if one["said"] != 1} == set(WITHOUT_THE_PACKAGE)
    assert {one["said"] for one in found.values()} == {0, 1}
