"""Properties that tests of their own hold, and those that nothing here shows."""

from .core import Elsewhere, NotShown, add


def ranking(*tests: str) -> list[str]:
    """Tests of ranking losses, which have a file of their own."""
    return [f"tests/losses/test_ranking.py::test_{name}" for name in tests]


for entry in (
    Elsewhere(
        1,
        "check values",
        "published and hand-computed values, 1e-8 or better",
        (
            "tests/losses/test_check_values.py",
            "tests/losses/test_rotated.py",
        ),
    ),
    Elsewhere(
        3,
        "second oracle",
        "mmdet where it is right, 1e-5 in float32; both sides of every deviation",
        ("tests/mmdetection/test_vs_mmdet.py", "tests/mmdetection/test_ledger.py"),
    ),
    Elsewhere(
        18,
        "weight forms",
        "every form of a weight, and an error for every other",
        ("tests/contract/test_weights.py", *ranking("weight_per_element", "errors")),
    ),
    Elsewhere(
        19,
        "reduction",
        "reductions, divisors, loss_weight, upstream gradient",
        ("tests/contract/test_avg_factor.py", *ranking("reductions", "upstream_gradient")),
    ),
    Elsewhere(
        23,
        "compile",
        "one graph, 10 sizes, at most 3 compilations, equal to eager",
        ("tests/contract/test_compile.py", *ranking("one_graph_for_all_sizes")),
    ),
    Elsewhere(
        27,
        "state and copies",
        "copies, pickles, saved and loaded state are equal",
        ("tests/contract/test_module_protocol.py", "tests/contract/test_state.py", *ranking("module")),
    ),
    Elsewhere(
        26,
        "several processes",
        "two processes, one without positives: nothing waits, and gradients and statistics are those of one",
        ("tests/mmdetection/test_two_processes.py", "tests/tools/test_distributed.py"),
        False,
    ),
    Elsewhere(
        28,
        "registry",
        "orders of import, scopes, every name from its config",
        ("tests/mmdetection/test_registry.py", "tests/mmdetection/test_import_orders.py"),
        False,
    ),
    Elsewhere(
        29,
        "detectors",
        "heads build, train a step and give finite gradients",
        ("tests/mmdetection/test_heads.py", "tests/mmdetection/test_gfl_head.py", "tests/package/test_configs.py"),
        False,
    ),
    Elsewhere(
        24,
        "CUDA graph",
        "on a GPU: forward and backward captured, and replayed on other values",
        ("tests/gpu/test_eager.py", "tests/gpu/test_fused.py"),
        False,
    ),
    Elsewhere(
        30,
        "fused path",
        "value and gradient of every kernel, by hand and generated, those of the eager path",
        ("tests/kernels/test_fused.py", "tests/kernels/test_native.py"),
        False,
    ),
    NotShown(
        31, "overfit", "16 images, AP50 0.95", "takes hours; [comparison.md](comparison.md) has trained detectors"
    ),
    NotShown(32, "mutation", "95 % of changed lines are noticed", "a run of its own: [mutation.md](mutation.md)"),
    NotShown(33, "versions", "Pythons, torches, numpys", "the tests run in one environment at a time, named above"),
):
    add(entry)
