"""The parts of the page, as Dash has them."""

from __future__ import annotations

from box_simulation.descent import RULES
from dash import dcc, html

from mmdet_losses.modules.boxes.focus import FOCUSES

from . import curves
from .figure import CONFIG, figure
from .losses import Modifiers
from .state import DEFAULT, SIDES, STEPS

TITLE = "What a box loss says"
ON = Modifiers(power=3.0, inner_ratio=0.7, focaler=(0.0, 0.95), focus="IoUFocus")
"""Values of the modifiers as they are switched on."""
SPOKEN = {"power": "power (alpha-IoU)", "inner_ratio": "inner ratio", "focaler": "focaler d, u", "focus": "focus"}
HELP = (
    "Drag a box to move it, a side or a corner to resize it, or type coordinates; y points down, as in images. Arrows: "
    "where descent pushes each side of the prediction, with the derivative. The camera saves the picture."
)


def page() -> html.Main:
    return html.Main(
        [
            dcc.Location(id="location", refresh=False),
            dcc.Store(id="state"),
            dcc.Store(id="drawn"),
            dcc.Download(id="file"),
            html.Header([html.H1(TITLE), sharing()]),
            html.Div(id="message", role="alert", className="message"),
            dcc.RadioItems(
                [{"label": "Boxes", "value": "boxes"}, {"label": "Classification curves", "value": "curves"}],
                DEFAULT.tab,
                id="tab",
                inline=True,
                className="tabs",
            ),
            boxes(),
            logits(),
        ]
    )


def sharing() -> html.Div:
    return html.Div(
        [
            dcc.Clipboard("Copy link", id="copy", className="button", copied_children="Copied", title="Copy link"),
            html.Button("Save JSON", id="json", className="button"),
            html.Button("Save CSV", id="csv", className="button"),
        ],
        className="sharing",
    )


def boxes() -> html.Div:
    return html.Div(
        [
            html.P(HELP, className="help"),
            html.Section([plot(), coordinates()], className="picture"),
            html.Section([choice("losses", "line", "Losses"), arrow_choice(), modifiers()], className="choice"),
            html.Section([html.Div(id="numbers", className="scrolled"), html.P(id="left-out")], className="wide"),
            html.Section(
                [
                    descent(),
                    dcc.Loading(html.Div(id="descended", className="scrolled"), delay_show=300),
                    html.P(id="no-descent"),
                ],
                className="wide last",
            ),
        ],
        id="boxes",
        className="boxes",
    )


def plot() -> html.Div:
    return html.Div(dcc.Graph(id="figure", figure=figure(DEFAULT), config=CONFIG, responsive=True), className="figure")


def field(name: str, text: str, value: float) -> html.Div:
    """A number with its label."""
    return html.Div([html.Label(text, htmlFor=name), number(name, text, value)], className="field")


def coordinates() -> html.Div:
    rows = [
        html.Fieldset(
            [
                html.Legend(text),
                *(
                    field(f"{name}-{side}", side, value)
                    for side, value in zip(SIDES, getattr(DEFAULT, name), strict=True)
                ),
            ],
            className=f"box {name}",
        )
        for name, text in (("target", "Target (dashed)"), ("pred", "Prediction (solid)"))
    ]
    return html.Div(rows, className="coordinates")


def descent() -> html.Fieldset:
    marks = {step: str(step) for step in range(0, STEPS + 1, 50)}
    slider = dcc.Slider(
        **{"id": "step", "min": 0, "max": STEPS, "step": 1, "value": 0, "marks": marks, "updatemode": "mouseup"},
        allow_direct_input=False,
        tooltip={"placement": "top"},
    )
    rule = dcc.Dropdown(
        id="rule",
        options=[{"label": f"{name}: {text}", "value": name} for name, text in RULES.items()],
        value=DEFAULT.rule,
        clearable=False,
        searchable=False,
        optionHeight="auto",
    )
    return html.Fieldset(
        [
            html.Legend("Descent from here, all losses"),
            html.Div([html.Label(["step ", html.Output("0", id="at")], htmlFor="step"), slider], className="slider"),
            html.Div([html.Label("direction", htmlFor="rule"), rule], className="rule"),
        ],
        className="descent",
    )


def choice(name: str, line: str, text: str) -> html.Fieldset:
    """A list to choose losses from, and a field for a line of a config."""
    return html.Fieldset(
        [
            html.Legend(text),
            dcc.Dropdown(
                **{"id": name, "multi": True, "searchable": True, "placeholder": "Choose losses", "maxHeight": 320},
                options=[],
                value=[],
                closeOnSelect=False,
            ),
            html.Div(
                [
                    dcc.Input(
                        **{"id": line, "type": "text", "maxLength": 300, "spellCheck": "false"},
                        placeholder="dict(type='SIoULoss', power=3.0)"
                        if line == "line"
                        else "dict(type='FocalLoss', gamma=3)",
                        autoComplete="off",
                        debounce=True,
                    ),
                    html.Button("Add", className="button"),
                ],
                className="line",
            ),
        ]
    )


def arrow_choice() -> html.Fieldset:
    return html.Fieldset(
        [html.Legend("Arrows of"), dcc.Dropdown(id="arrows", options=[], value=0, clearable=False, searchable=False)]
    )


def modifiers() -> html.Fieldset:
    assert ON.focaler is not None
    switches = dcc.Checklist(
        [{"label": text, "value": name} for name, text in SPOKEN.items()], [], id="on", className="switches"
    )
    focus = dcc.Dropdown(id="focus", options=list(FOCUSES), value=ON.focus, clearable=False, searchable=False)
    return html.Fieldset(
        [
            html.Legend("Modifiers of all losses that take them"),
            html.Div(
                [
                    switches,
                    html.Div(
                        [
                            number("power", "power", ON.power),
                            number("inner_ratio", "inner ratio", ON.inner_ratio),
                            html.Div(
                                [
                                    number("focaler-d", "focaler d", ON.focaler[0]),
                                    number("focaler-u", "focaler u", ON.focaler[1]),
                                ],
                                className="interval",
                            ),
                            focus,
                        ],
                        className="values",
                    ),
                ],
                className="modifiers",
            ),
        ]
    )


def number(name: str, text: str, value: float | None) -> dcc.Input:
    """A field for a number; its range is checked where it arrives, to be named in a sentence."""
    return dcc.Input(id=name, type="number", value=value, step="any", debounce=True, placeholder=text)


def logits() -> html.Div:
    return html.Div(
        [
            html.Section(choice("curves", "curve_line", "Classification losses"), className="choice"),
            dcc.Loading([html.Div(id="panels", className="panels"), html.P(id="notes", className="help")]),
        ],
        id="logits",
        className="logits",
        hidden=True,
    )


def panels(texts: tuple[str, ...]) -> list[html.Div]:
    """The figures of the second tab."""
    return [
        html.Div(dcc.Graph(figure=figure, config=curves.CONFIG, responsive=True), className="panel")
        for figure in curves.figures(texts)
    ]
