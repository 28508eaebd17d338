"""Pictures of losses: every loss is drawn or says why not, and what is drawn is what its formula gives by hand."""

from __future__ import annotations

import io
import math
import sys
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType

import matplotlib
import numpy as np
import plot_loss
import pytest
from loss_views import kinds, pictures, typical
from loss_views.choice import Chosen, choose
from loss_views.curves import Curves, Line
from loss_views.examples import choose_to_look, example
from loss_views.field import field_of
from loss_views.overview import overview_picture
from loss_views.paths import PATHS
from loss_views.ranges import visible
from matplotlib.backend_bases import FigureManagerBase
from matplotlib.backends.backend_agg import FigureCanvasAgg
from tool_runtime.errors import ToolError

from mmdet_losses.registry import LOSSES

LN2 = math.log(2)
SMOOTHED = "dict(type='CrossEntropyLoss', use_sigmoid=True, label_smoothing=0.2, class_weight=[1.0, 1.0, 1.0])"


def curves(*texts: str, paths: list[str] | None = None) -> Curves:
    return pictures.curves_of([choose_to_look(text) for text in texts], paths)


def only(text: str, panel: int, path: str | None = None) -> Line:
    (line,) = curves(text, paths=[path] if path else None).panels[panel].lines
    return line


def at(line: Line, x: float, name: str = "value") -> float:
    return float(np.interp(x, line.x, getattr(line, name)))


@pytest.mark.parametrize("name", LOSSES)
def test_every_loss_is_drawn_or_says_why_not(name: str) -> None:
    chosen = example(name)
    reason = pictures.can_draw(chosen)
    assert bool(reason) == (LOSSES[name].slot == "composite")
    assert bool(pictures.can_draw_field(chosen)) == (not LOSSES[name].boxes and LOSSES[name].slot != "rbox")
    if reason:
        assert name in reason and "draw its terms" in reason
        with pytest.raises(ToolError) as error:
            pictures.curves_picture([chosen])
        assert str(error.value) == reason
        return
    figure = pictures.curves_picture([chosen])
    for axis in figure.axes:
        (line,) = axis.get_lines()
        x, y = line.get_data()
        assert len(x) >= 80 and np.isfinite(x).all() and np.isfinite(y).all()
        assert line.get_label() == chosen.label
    assert any(np.ptp(line.get_ydata()) > 0.1 for axis in figure.axes for line in axis.get_lines())


@pytest.mark.parametrize("kind", [kind for kind in kinds.KINDS if kind.panels], ids=lambda kind: kind.name)
def test_a_picture_of_each_kind_is_rendered(kind: kinds.Kind) -> None:
    chosen = [one for name in LOSSES if (one := example(name)).cls.__name__ == name and kinds.kind_of(one) is kind]
    assert chosen
    file = io.BytesIO()
    pictures.curves_picture(chosen, paths=["away"] if "boxes" in kind.name else None).savefig(file, dpi=20)
    assert file.getvalue().startswith(b"\x89PNG")


def moved_giou(d: float) -> float:
    """Of squares of side 1, one shifted by d: overlap and hull are 1 - d and 1 + d, and the union is 1 + d or 2."""
    return 2 * d / (1 + d)


def moved_diou(d: float) -> float:
    overlap = max(1 - d, 0.0)
    return 1 - overlap / (2 - overlap) + d**2 / ((1 + d) ** 2 + 1)


@pytest.mark.parametrize(
    "text, path, expected",
    [
        ("GIoULoss", "away", {0.0: 0.0, 0.5: moved_giou(0.5), 1.0: 1.0, 2.5: moved_giou(2.5)}),
        ("DIoULoss", "away", {0.25: moved_diou(0.25), 2.0: moved_diou(2.0)}),
        ("dict(type='IoULoss', mode='linear', loss_weight=2.0)", "away", {0.5: 2 * (1 - 0.5 / 1.5), 2.0: 2.0}),
        ("dict(type='IoULoss', mode='linear')", "diagonal", {0.5: 1 - (1 - 0.5**1.5) ** 2 / (2 - (1 - 0.5**1.5) ** 2)}),
        ("GIoULoss", "grows", {0.5: 1 - 0.25, 2.0: 1 - 0.25, 4.0: 1 - 1 / 16}),
        ("dict(type='IoULoss', mode='linear')", "aspect", {4.0: 1 - 0.5 / 1.5, 0.25: 1 - 0.5 / 1.5}),
        ("CIoULoss", "scales", {0.01: 0.0, 1.0: 0.0, 1e4: 0.0}),
        # of boxes of 2 : 1 that cross, the overlap is a third of the union
        ("dict(type='RotatedIoULoss', mode='linear')", "turns", {0.0: 0.0, 90.0: 2 / 3, 180.0: 0.0}),
    ],
)
def test_values_along_paths_are_those_by_hand(text: str, path: str, expected: dict[float, float]) -> None:
    line = only(text, 0, path)
    for x, value in expected.items():
        assert at(line, x) == pytest.approx(value, abs=3e-3)


def test_gradients_along_paths_are_those_by_hand() -> None:
    """In a target of side 1 each of the four sides of a box of side r moves the overlap, its area, by r."""
    line = only("dict(type='IoULoss', mode='linear')", 0, "grows")
    assert at(line, 0.5, "slope") == pytest.approx(2 * 0.5, abs=5e-3)
    apart = only("dict(type='IoULoss', mode='linear')", 0, "away")
    assert not apart.slope[apart.x > 1.01].any()


@pytest.mark.parametrize(
    "text, panel, x, value, slope",
    [
        ("dict(type='CrossEntropyLoss', use_sigmoid=True)", 0, 0.0, LN2, 0.5),
        ("CrossEntropyLoss", 2, 0.0, LN2, -0.5),
        ("CrossEntropyLoss", 1, 2.0, math.log1p(math.exp(2)) - 1, 1 / (1 + math.exp(-2)) - 0.5),
        ("dict(type='CrossEntropyLoss', use_mask=True)", 2, 0.0, LN2, -0.5),
        ("FocalLoss", 2, 0.0, 0.25 * 0.25 * LN2, None),
        ("FocalCustomLoss", 0, 0.0, 0.75 * 0.25 * LN2, None),
        ("dict(type='FocalLoss', use_sigmoid=False, alpha=[0.5, 1.0, 1.0])", 2, 0.0, 0.5 * 4 / 9 * math.log(3), None),
        (SMOOTHED, 2, 0.0, LN2, -0.4),
        ("GaussianFocalLoss", 2, 0.0, 0.25 * LN2, None),
        ("QualityFocalLoss", 1, 0.0, 0.0, 0.0),
        ("QualityFocalLoss", 3, 1.0, 0.25 * LN2, None),
        ("VarifocalLoss", 3, 0.5, 0.5 * LN2, 0.0),
        ("EQLV2Loss", 1, 0.0, LN2, -0.5),
        ("SeesawLoss", 1, 0.0, LN2, -0.5),
        ("EqualizationLoss", 0, 3.0, 0.0, 0.0),
        ("EqualizationLoss", 1, 0.0, LN2, -0.5),
        # seven negatives above a positive, which counts as one, in Rank & Sort as a half
        ("APLoss", 1, -6.0, 7 / 8, -7 / 8),
        ("RankSortLoss", 1, -6.0, 7 / 7.5, -7 / 7.5),
        ("APLoss", 1, 6.0, 0.0, 0.0),
        # a negative above all of seven positives, the i-th of which has i positives up to itself
        ("RankSortLoss", 0, 6.0, sum(1 / (i + 0.5) for i in range(1, 8)) / 7, None),
        ("SmoothL1Loss", 0, 3.0, 2.5, 1.0),
        ("MSELoss", 1, -0.3, 0.09, -0.6),
        ("DiceLoss", 0, 0.0, 0.5, None),
        ("TripletLoss", 0, 0.3, 0.5, -1.0),
        ("TripletLoss", 1, 1.0, 0.8, 1.0),
        ("MultiPosCrossEntropyLoss", 0, 0.0, LN2, -0.5),
        ("MarginL2Loss", 0, 0.5, 0.25, -1.0),
        ("AssociativeEmbeddingLoss", 0, 2.0, 0.25 * 2, 0.25 * 2),
        ("AssociativeEmbeddingLoss", 1, 0.5, 0.25 * 0.5, -0.25),
        ("KnowledgeDistillationKLDivLoss", 0, 0.0, 0.0, 0.0),
    ],
)
def test_other_curves_are_those_by_hand(text: str, panel: int, x: float, value: float, slope: float | None) -> None:
    line = only(text, panel)
    assert at(line, x) == pytest.approx(value, abs=4e-3)
    if slope is not None:
        assert at(line, x, "slope") == pytest.approx(slope, abs=8e-3)


def test_a_distribution_is_drawn_over_the_bins_of_its_loss() -> None:
    def entropy_at(distance: float) -> float:
        return distance**2 / 2 + math.log(sum(math.exp(-(k**2) / 2) for k in range(-4, 5)))

    line = only("DistributionFocalLoss", 1)
    assert (line.x[0], line.x[-1]) == (0.0, 8.0)
    assert at(line, 4.0) == pytest.approx(entropy_at(0), abs=1e-6)
    assert at(line, 5.5) == pytest.approx((entropy_at(1) + entropy_at(2)) / 2, abs=1e-6)
    wide = only("dict(type='DistributionFocalLoss', y_min=-2.0, y_max=6.0)", 1)
    assert (wide.x[0], wide.x[-1]) == (-2.0, 6.0)
    np.testing.assert_allclose(wide.value, line.value, atol=1e-9)


def test_a_field_is_minus_the_gradient_of_the_centre() -> None:
    field = field_of(choose("GIoULoss"))
    there = np.isclose(field.start, [4 / 3, 0.0]).all(1)
    assert field.push[there, 0] == pytest.approx(-2 / (1 + 4 / 3) ** 2)
    middle = len(field.at) // 2
    assert field.value[middle, middle] == 0 and field.value[middle, -1] == pytest.approx(moved_giou(field.at[-1]))
    turned = field_of(choose("ProbIoULoss"))
    inward = (turned.push * turned.start).sum(1)
    assert (inward[np.hypot(*turned.start.T) > 0.1] < 0).all()
    assert np.ptp(turned.target[:, 0]) > np.ptp(turned.target[:, 1]) > 1


def test_a_field_is_of_a_box_of_any_size() -> None:
    field = field_of(choose("dict(type='IoULoss', mode='linear')"), (0.5, 1.0))
    middle = len(field.at) // 2
    assert field.value[middle, middle] == pytest.approx(0.5)
    assert not field.push[np.abs(field.start[:, 0]) < 0.2][:, 0].any()


@pytest.mark.parametrize(
    "text, said",
    [
        ("WIoULoss", "start of a training, without statistics"),
        ("UnifiedIoULoss", "the ratio is 2"),
        ("MPDIoULoss", "640 x 640, the default"),
        ("BoundedIoULoss", "the sum of the values of x, y, w and h"),
        ("GHMC", "the points of each plot are its batch"),
        ("APLoss", "seven of the other label"),
        ("MatchabilityAwareLoss", "a factor is detached"),
        ("SeesawLoss", "a factor is detached"),
        ("CrossEntropyLoss", "a softmax, of two classes"),
        ("PositionSupervisedLoss", "largest quality counts"),
        ("MarginL2Loss", "no batch to sample from"),
    ],
)
def test_what_matters_stands_below(text: str, said: str) -> None:
    options = {"PositionSupervisedLoss": {"normalize": "call"}, "MarginL2Loss": {"neg_pos_ub": 3}}
    chosen = Chosen(text, options[text]) if text in options else choose_to_look(text)
    assert any(said in note and text in note for note in pictures.curves_of([chosen]).notes)


@pytest.mark.parametrize("text", ["FocalLoss", "VarifocalLoss", "SmoothL1Loss", "AsymmetricLoss", "L1Loss"])
def test_nothing_is_said_to_be_detached_that_is_not(text: str) -> None:
    assert not curves(text).notes


def test_names_that_need_options_have_an_example_and_say_so() -> None:
    assert choose_to_look("GDLoss").label.startswith("GDLoss(loss_type='kld'")
    assert choose_to_look("SeesawLoss") == Chosen("SeesawLoss", {"num_classes": 2})
    assert choose_to_look("dict(type='SeesawLoss', num_classes=5)").options == {"num_classes": 5}
    assert choose_to_look("LabelSmoothLoss").options == {}


def test_options_that_watch_or_hurry_a_loss_do_not_matter() -> None:
    plain, watched = (curves(f"dict(type='MPDIoULoss', img_shape=(640, 640){more})") for more in ("", ", debug=True"))
    for one, other in zip(plain.panels, watched.panels, strict=True):
        np.testing.assert_array_equal(one.lines[0].value, other.lines[0].value)


def test_what_a_loss_refuses_is_said() -> None:
    with pytest.raises(ToolError, match=r"SumLoss.*unreduced losses differ in shape"):
        curves("dict(type='SumLoss', losses=['CIoULoss', 'BoundedIoULoss'])")


def test_a_loss_far_above_all_others_is_cut() -> None:
    low = [(name, np.linspace(0, 1, 50)) for name in "abc"]
    assert visible([*low, ("d", np.linspace(0, 14, 50))])[1] < 1.5
    assert visible([*low, ("d", np.linspace(0, 3, 50))])[1] > 3
    assert visible([("a", np.linspace(0, 14, 50))])[1] > 14
    assert visible(low)[0] < 0
    spike = np.ones(200)
    spike[100] = 90
    assert visible([("a", spike)])[1] < 1.5


REPORTED = {
    "IoULoss": (0.552, 2.30),
    "GIoULoss": (0.440, 1.58),
    "DIoULoss": (0.426, 1.40),
    "EIoULoss": (0.482, 1.76),
    "SIoULoss": (0.432, 1.45),
    "MPDIoULoss": (0.412, 1.35),
    "ShapeIoULoss": (0.427, 1.41),
    "AlphaIoULoss": (0.770, 1.57),
    "PowerfulIoULoss": (0.422, 1.41),
    "WIoULoss": (0.316, 0.95),
}
"""Mean value and gradient of 4000 other pairs of the same spread, measured apart from this tool."""


def test_typical_values_are_those_of_another_sample() -> None:
    """Another draw of 4000 pairs: the mean of IoU's log form has a standard error of 0.005, a gradient's of 0.02."""
    rows = {row.label: row for row in typical.typical()}
    assert set(rows) >= set(REPORTED)
    for name, (value, gradient) in REPORTED.items():
        assert rows[name].value == pytest.approx(value, abs=0.012), name
        assert rows[name].gradient == pytest.approx(gradient, abs=0.04), name
    assert rows["GIoULoss"].ratio == 1 and rows["GIoULoss"].weight == 2
    assert len(rows) == sum(cls.boxes and cls.__name__ == name for name, cls in LOSSES.items())


def command(monkeypatch: pytest.MonkeyPatch, *arguments: object) -> None:
    monkeypatch.setattr(sys, "argv", ["plot_loss.py", *map(str, arguments)])
    plot_loss.main()


def test_the_ending_decides_the_format(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    command(monkeypatch, "GIoULoss", "--values", "--size", "3x2", "--title", "one", "--paths", "away")
    default = tmp_path / plot_loss.FOLDER / "GIoULoss.png"
    assert default.read_bytes().startswith(b"\x89PNG")
    for name in ("one.svg", "two.SVG"):
        command(monkeypatch, "GIoULoss", "--field", "--box", "1x0.5", "--out", f"new/{name}")
    one, two = ((tmp_path / "new" / name).read_text() for name in ("one.svg", "two.SVG"))
    assert one.startswith("<?xml") and one == two


def test_the_table_is_printed(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture) -> None:
    command(monkeypatch, "--typical", "GIoULoss", "SIoULoss")
    lines = capsys.readouterr().out.splitlines()
    assert [line.split("|")[1].strip() for line in lines[-2:]] == ["`GIoULoss`", "`SIoULoss`"]


@pytest.mark.parametrize(
    "arguments, said",
    [
        (["GIuLoss"], "unknown loss 'GIuLoss'; did you mean GIoULoss"),
        (["dict(type='GIoULoss', powr=2)"], "Did you mean 'power'?"),
        (["GIoULoss", "--out", "a.bmp"], "--out: a picture is written as .png or .svg, got 'a.bmp'"),
        (["GIoULoss", "FocalLoss"], "GIoULoss: boxes; FocalLoss: logits"),
        (["YOLOv3Loss"], "draw its terms"),
        (
            ["FocalLoss", "--field"],
            "and FocalLoss is of logits: leave out --field",
        ),
        (["GIoULoss", "--paths", "sideways"], "there is no path 'sideways'; there are away, diagonal"),
        (["GIoULoss", "--paths", "turns"], "'turns' is for rotated boxes"),
        (["FocalLoss", "--paths", "away"], "--paths is for losses of boxes"),
        (["--paths", "away", "GIoULoss"], "name one or more losses, before --paths"),
        ([], "name one or more losses"),
        (["GIoULoss", "--size", "8"], "--size: two numbers like 8x5"),
        (["GIoULoss", "--box", "1x1"], "--box is for --field"),
        (["GIoULoss", "--field", "--paths", "away"], "--field has no curves"),
        (["GIoULoss", "--overview"], "--overview is one certain picture"),
        (["GIoULoss", "--typical", "--show"], "--typical prints a table"),
        (["FocalLoss", "--typical"], "--typical is of losses of boxes, and FocalLoss is of logits"),
        (["GIoULoss", "--show"], "--show: there is no display"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_what_is_wrong_is_one_sentence(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture, arguments: list[str], said: str
) -> None:
    with pytest.raises(SystemExit) as end:
        command(monkeypatch, *arguments)
    error = capsys.readouterr().err
    assert end.value.code == 2 and said in error and error.count("\n") == 1


def test_a_file_that_cannot_be_written_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    figure = pictures.curves_picture([choose("L1Loss")])
    with pytest.raises(ToolError, match="--out: cannot write"):
        pictures.save(figure, tmp_path / "file" / "a.png")


@pytest.fixture
def window() -> Iterator[list[FigureManagerBase]]:
    """A backend of windows that only notes which are shown."""
    shown: list[FigureManagerBase] = []

    class Manager(FigureManagerBase):
        @classmethod
        def pyplot_show(cls, *, block: bool | None = None) -> None:
            shown.extend(matplotlib._pylab_helpers.Gcf.get_all_fig_managers())

    class FigureCanvas(FigureCanvasAgg):
        manager_class = Manager

    module = ModuleType("window_of_a_test")
    module.FigureCanvas = FigureCanvas
    sys.modules[module.__name__] = module
    before = matplotlib.get_backend()
    import matplotlib.pyplot as plt

    plt.switch_backend(f"module://{module.__name__}")
    yield shown
    plt.close("all")
    plt.switch_backend(before)
    del sys.modules[module.__name__]


def test_a_window_shows_the_picture(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, window: list[FigureManagerBase]
) -> None:
    monkeypatch.chdir(tmp_path)
    command(monkeypatch, "L1Loss", "--show")
    (manager,) = window
    assert [line.get_label() for line in manager.canvas.figure.axes[0].get_lines()] == ["L1Loss"]
    assert not list(tmp_path.iterdir())


@pytest.mark.skipif(find_spec("mmdet") is None, reason="MMDetection is not installed")
def test_mmdetections_own_losses_show_where_they_go_wrong() -> None:
    """Its SIoU falls as boxes move apart; its CIoU is not a number where boxes fit, see docs/deviations.md."""
    ours, theirs, ciou = overview_picture().axes[0].get_lines()[2:5]
    assert theirs.get_label() == "MMDetection's SIoULoss"
    assert (np.diff(ours.get_ydata()) > 0).all()
    apart = theirs.get_ydata()[theirs.get_xdata() > 1.0]
    assert (np.diff(apart) <= 0).all() and apart[-1] == 0
    assert ciou.get_label() == "MMDetection's CIoULoss"
    assert np.isnan(ciou.get_ydata()[0]) and np.isfinite(ciou.get_ydata()[1:]).all()


def test_paths_are_those_of_the_help() -> None:
    assert all(name in plot_loss.build_parser().format_help() for name in PATHS)
