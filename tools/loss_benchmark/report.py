"""Tables of the JSON of runs."""

from __future__ import annotations

import json
import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tool_runtime.errors import ToolError

from .bars import SLACK, judge, slower, times_as_fast
from .providers import PROVIDERS
from .run import FORMAT
from .shapes import SHAPES

BEGIN, END = "<!-- benchmark: begin -->", "<!-- benchmark: end -->"
KINDS = ("losses", "step")
OURS = ("eager", "fused")
MODES = {"both": "forward plus backward", "forward": "forward"}
Row = Sequence[str]


def load(file: str | Path) -> dict[str, Any]:
    """Return the JSON of a run; raise where it is missing, no JSON, or of another version."""
    path = Path(file)
    if not path.is_file():
        raise ToolError(f"{file} does not exist: measure first, with tools/benchmark.py losses or step.")
    try:
        content = json.loads(path.read_text())
    except ValueError as error:
        raise ToolError(f"{file} is no JSON: {error}.") from None
    if not isinstance(content, dict) or content.get("kind") not in KINDS:
        raise ToolError(f"{file} was not written by tools/benchmark.py losses or step.")
    if content.get("format") != FORMAT:
        raise ToolError(
            f"{file} is of version {content.get('format')}, expected version {FORMAT}: measure again with this tool."
        )
    return content


def table(head: Row, rows: Sequence[Row]) -> str:
    """Return a Markdown table."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def milliseconds(times: Mapping[str, float] | None) -> str:
    """Return the median, and half the interquartile range in percent of it."""
    if not times:
        return ""
    middle = times["median"]
    share = 50 * (times["q3"] - times["q1"]) / middle if middle else 0.0
    return f"{middle:.3g} ±{share:.0f} %"


def factor(value: float | None) -> str:
    """Return a factor with three digits at most."""
    if value is None:
        return ""
    return f"{value:.0f}x" if value >= 99.5 else f"{value:.1f}x" if value >= 9.95 else f"{value:.2f}x"


def megabytes(size: float | None) -> str:
    """Return bytes in MiB."""
    return "" if size is None else f"{size / 2**20:.3g}"


def copy_ms(case: Mapping[str, Any], passes: str = "both") -> float | None:
    """Return the milliseconds of a copy of the loss's least traffic.

    Args:
        case: A case of a run.
        passes: ``'both'`` for input read once, ``'both_twice'`` for input read in forward and in backward.
    """
    copy = case["copy"].get("both")
    return copy["median"] * case["traffic"][passes] / case["traffic"]["both"] if copy else None


def arithmetic_ms(case: Mapping[str, Any]) -> float | None:
    """Return the milliseconds of the functions that the loss needs; None without a measurement."""
    return case["arithmetic"]["median"] if case.get("arithmetic") else None


def floor_ms(case: Mapping[str, Any]) -> float | None:
    """Return the longer of copy and arithmetic, which overlap in a single pass."""
    return max((value for value in (copy_ms(case), arithmetic_ms(case)) if value is not None), default=None)


def over_floor(case: Mapping[str, Any], provider: str) -> float | None:
    """Return forward plus backward as a multiple of the floor."""
    times, floor = case["providers"].get(provider, {}).get("both"), floor_ms(case)
    return times["median"] / floor if times and floor else None


def share_of_copy(case: Mapping[str, Any], provider: str, passes: str = "both") -> float | None:
    """Return the bandwidth of forward plus backward as a share of a copy's."""
    times, copy = case["providers"].get(provider, {}).get("both"), copy_ms(case, passes)
    return copy / times["median"] if times and copy else None


def kernel_count(entry: Mapping[str, Any]) -> str:
    """Return the operations of forward and of backward, or the generated kernels; a hand-written kernel is one."""
    if "kernels" in entry:
        return f"{entry['kernels']['forward']}+{entry['kernels']['backward']}"
    if entry.get("by_hand"):
        return "1 by hand"
    return f"{entry['generated_kernels']} generated" if entry.get("generated_kernels") else ""


def present(cases: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return the providers of some cases, in the order of measuring."""
    return [name for name in PROVIDERS if any(name in case["providers"] for case in cases)]


def shape_table(cases: Sequence[Mapping[str, Any]]) -> str:
    """Return the table of a shape, a row per loss."""
    names = present(cases)
    ours = [name for name in OURS if name in names]
    best = "fused" if "fused" in names else "eager"
    head = ["loss", *(f"{name}, ms" for name in names), *(f"{name}, speed-up" for name in ours)]
    head += ["copy / arithmetic, ms", f"{best} / floor", f"{best}, % of copy", "forward, ms: " + " / ".join(names)]
    head += ["peak MB: " + " / ".join(names), "kernels: " + " / ".join(names)]
    rows = []
    for case in cases:
        entries = [case["providers"].get(name, {}) for name in names]
        share = share_of_copy(case, best)
        rows.append(
            [
                case["name"],
                *("failed" if "error" in entry else milliseconds(entry.get("both")) for entry in entries),
                *(factor(times_as_fast(case, name)) for name in ours),
                " / ".join("-" if ms is None else f"{ms:.3g}" for ms in (copy_ms(case), arithmetic_ms(case))),
                factor(over_floor(case, best)),
                "" if share is None else f"{100 * share:.3g}",
                " / ".join(f"{entry['forward']['median']:.3g}" if "forward" in entry else "-" for entry in entries),
                " / ".join(megabytes(entry.get("memory", {}).get("both")) or "-" for entry in entries),
                " / ".join(kernel_count(entry) or "-" for entry in entries),
            ]
        )
    return table(head, rows)


def shape_title(case: Mapping[str, Any]) -> str:
    """Return a shape's name, size and callers."""
    about = next((shape.about for shape in SHAPES if shape.name == case["shape"]), "a size of the sweep")
    rows = " + ".join(f"{n:,}" for n in case["rows"])
    return f"{case['shape']}: {rows} x {case['columns']} ({about})"


def bars_table(cases: list[Mapping[str, Any]]) -> str:
    """Return the table of the bars that apply to a run, with eager's of every shape in one row."""
    verdicts = judge(cases)
    measured = {(case["name"], case["shape"]): case for case in cases}
    every = [one for one in verdicts if one.least == SLACK]
    rows = [
        [
            one.loss,
            one.shape,
            one.provider,
            f"{one.least:g}x",
            factor(one.measured) or "not measured",
            {True: "yes", False: "**no**", None: ""}[one.reached],
            factor(over_floor(measured[one.loss, one.shape], one.provider)),
        ]
        for one in verdicts
        if one.least != SLACK
    ]
    if every:
        missed = sum(not one.reached for one in every)
        least = min(every, key=lambda one: one.measured or 0.0)
        rows.append(
            [
                f"every other, {len(every)} in all",
                "every",
                "eager",
                f"{SLACK:g}x",
                f"{factor(least.measured)} ({least.loss}, {least.shape}) or more",
                f"**no**, {missed} below" if missed else "yes",
                "",
            ]
        )
    return table(["loss", "shape", "provider", "at least", "measured", "reached", "over its floor"], rows)


def slower_lines(cases: list[Mapping[str, Any]]) -> list[str]:
    """Return a line for each figure of this package that is behind a peer's."""
    return [
        f"{one.loss}, {one.shape}, {one.provider}, {MODES[one.mode]}: {factor(one.factor)} of {one.peer}'s speed"
        for one in slower(cases)
    ]


def compile_line(cases: Sequence[Mapping[str, Any]]) -> str:
    """Return the time of first calls, and the graphs over all shapes of a loss; empty where nothing was compiled."""
    graphs: dict[str, int] = {}
    first = []
    for case in cases:
        entry = case["providers"].get("fused", {})
        if entry.get("graphs"):
            graphs[case["name"]] = graphs.get(case["name"], 0) + entry["graphs"]
            first.append(entry["first_call_seconds"])
    if not graphs:
        return ""
    name = max(graphs, key=graphs.__getitem__)
    return (
        f"Compiling: a first call took {statistics.median(first):.1f} s (median), {max(first):.1f} s at the most; "
        f"at most {graphs[name]} graphs for all shapes of a loss ({name})."
    )


def unfused(cases: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return a line for each case of two rows or more in which ``fused`` compiled nothing, with its warnings."""
    lines = []
    for case in cases:
        entry = case["providers"].get("fused", {})
        if entry.get("generated_kernels") == 0 and not entry.get("by_hand") and max(case["rows"]) > 1:
            said = "; ".join(entry.get("warnings", []))
            lines.append(f"{case['name']}, {case['shape']}" + (f": {said}" if said else ""))
    return lines


def failures(cases: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return a line for each provider that raised."""
    return [
        f"{case['name']}, {case['shape']}, {name}: {entry['error']}"
        for case in cases
        for name, entry in case["providers"].items()
        if "error" in entry
    ]


def bullets(lines: Sequence[str]) -> str:
    """Return a Markdown list."""
    return "\n".join(f"- {line}" for line in lines)


def setting(content: Mapping[str, Any]) -> str:
    """Return a paragraph of machine, versions and command, and whether the run is valid."""
    machine, versions = content["machine"], content["versions"]
    where = machine.get("gpu") or f"{machine['cpu']}, {machine['threads']} of {machine['cores']} cores"
    lines = [
        f"{where}; torch {versions.get('torch')}, mmdet {versions.get('mmdet')}, mmcv {versions.get('mmcv')}; "
        f"commit {content['commit']}; {content['date']}; `{content['command']}`."
    ]
    copy = content.get("copy")
    if copy:
        bar = f", bar {copy['bar_ms']:g} ms" if copy["bar_ms"] else ""
        lines.append(
            f"A copy of 16 MB took {copy['median_ms']:.2f} ms (median of {len(copy['medians_ms'])} places in the "
            f"run{bar}): {copy['gigabytes_per_second']:.1f} GB/s."
        )
        if not copy["counts"]:
            lines.append("**The machine was busy: this run does not count.**")
    if content["settings"].get("quick"):
        lines.append("**Small inputs and few rounds: no figures.**")
    if not content["complete"]:
        lines.append(f"**Incomplete: {len(content.get('cases', []))} of {content.get('planned', '?')} cases.**")
    return "\n".join(lines)


def losses_section(content: Mapping[str, Any]) -> str:
    """Return the section of a run over losses."""
    cases = content["cases"]
    settings = content["settings"]
    parts = [f"### Losses on {settings['device']}, {settings['dtype']}", setting(content)]
    parts += [line for line in [compile_line(cases)] if line]
    if settings["device"] == "cpu" and settings["dtype"] == "float32":
        parts += ["#### What was to be reached", bars_table(cases)]
    behind = slower_lines(cases)
    parts += ["#### What is slower than a peer", bullets(behind) if behind else "Nothing."]
    alone = unfused(cases)
    if alone:
        parts += ["#### Where fused compiled nothing", bullets(alone)]
    broken = failures(cases)
    if broken:
        parts += ["#### What failed", bullets(broken)]
    for shape in dict.fromkeys(case["shape"] for case in cases):
        members = [case for case in cases if case["shape"] == shape]
        parts += [f"#### {shape_title(members[0])}", shape_table(members)]
    return "\n\n".join(parts)


def step_section(content: Mapping[str, Any]) -> str:
    """Return the section of a run over training steps."""
    settings = content["settings"]
    head = ["detector", "losses", "ms per iteration", "of mmdet's", "losses alone, ms", "share", "peak MB of a step"]
    head += ["first loss"]
    rows = []
    for case in content["cases"]:
        theirs = case["sides"].get("mmdet", {})
        for name, side in case["sides"].items():
            if "error" in side:
                rows.append([case["config"], name, "failed", "", "", "", "", side["error"]])
                continue
            ratio = side["step"]["median"] / theirs["step"]["median"] if theirs.get("step") else None
            rows.append(
                [
                    case["config"],
                    name,
                    milliseconds(side["step"]),
                    "" if ratio is None else f"{100 * ratio:.1f} %",
                    milliseconds(side.get("loss")),
                    f"{100 * side['share_of_losses']:.2g} %" if "share_of_losses" in side else "",
                    megabytes(side.get("peak_bytes")),
                    f"{side['losses'][0]:.6f}",
                ]
            )
    amp = ", mixed precision" if settings.get("amp") else ""
    title = f"### Training step on {settings['device']}{amp}"
    size = "images of {} x {}, {} per batch".format(*settings["size"], settings["batch_size"])
    return "\n\n".join([title, setting(content), f"Drawn {size}.", table(head, rows)])


def section(content: Mapping[str, Any]) -> str:
    """Return the section of a run."""
    return losses_section(content) if content["kind"] == "losses" else step_section(content)


def insert(page: str, text: str) -> str:
    """Return a page with ``text`` between its marks."""
    if page.count(BEGIN) != 1 or page.count(END) != 1 or page.index(BEGIN) > page.index(END):
        raise ToolError(f"the page needs one line {BEGIN} and, below it, one line {END}: the tables go between them.")
    return f"{page.partition(BEGIN)[0]}{BEGIN}\n\n{text.strip()}\n\n{END}{page.partition(END)[2]}"


def write(files: Sequence[str | Path], markdown: str | Path | None, plots: bool = True) -> str:
    """Write the tables of runs between a page's marks, and plots beside the page.

    Args:
        files: JSON of runs.
        markdown: The page; None writes nothing.
        plots: Whether to draw.

    Returns:
        The text of the tables.
    """
    from .plots import draw

    contents = [load(file) for file in files]
    texts = []
    for content in contents:
        text = section(content)
        if markdown is not None and plots and content["kind"] == "losses":
            settings = content["settings"]
            stem = Path(markdown).with_suffix("")
            drawn = draw(content, f"{stem}-{settings['device']}-{settings['dtype']}")
            text += "".join(f"\n\n![{about}]({file.name})" for about, file in drawn)
        texts.append(text)
    text = "\n\n".join(texts)
    if markdown is not None:
        page = Path(markdown)
        if not page.is_file():
            raise ToolError(f"{markdown} does not exist: give a page with the lines {BEGIN} and {END}.")
        page.write_text(insert(page.read_text(), text))
    return text
