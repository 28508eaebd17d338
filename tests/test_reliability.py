"""Every property of the reliability table, for every loss that it applies to."""

from fnmatch import fnmatchcase

import pytest
from reliability import ALL_CASES, EXCEPTIONS, PROPERTIES, measured_properties, reason

MEASURED = [
    pytest.param(entry, case, id=f"{entry.number}-{entry.title.replace(' ', '_')}-{case.id}")
    for entry in measured_properties()
    for case in ALL_CASES
    if entry.applies(case)
]


@pytest.mark.parametrize(("entry", "case"), MEASURED)
def test_property(entry, case):
    tally = entry.measure(case)
    assert tally.checks > 0
    if reason(entry.number, case.id):
        assert tally.failed, "holds: take it off the list of exceptions"
    else:
        assert not tally.failed, tally.failures


def test_the_bar_is_complete():
    assert sorted(PROPERTIES) == list(range(1, 34))


def test_exceptions_name_what_exists():
    for number, named in EXCEPTIONS.items():
        for pattern, why in named.items():
            assert why
            assert any(fnmatchcase(case.id, pattern) and PROPERTIES[number].applies(case) for case in ALL_CASES), (
                pattern
            )
