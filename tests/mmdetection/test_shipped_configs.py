"""What is said where the configs that MMDetection ships are built as they are."""

from shipped import committed, survey


def test_bare_builds_say_what_is_committed_and_bring_no_error():
    """No false alarm on any head: the guard says nothing, and the losses only what MMDetection's own say, too."""
    said, errors, heads = survey()
    known = committed()
    assert errors == []
    assert said == sorted(known)
    assert all(reason.strip() for reason in known.values())
    assert heads > 250, heads
