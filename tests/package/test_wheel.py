"""What is built: a wheel that holds configs and tools, and an sdist whose tests can be run."""

from __future__ import annotations

import os
import runpy
import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

import mmdet_losses
from mmdet_losses import __main__ as command
from mmdet_losses import config_files, config_path

pytest.importorskip("setuptools", minversion="77")

ROOT = Path(__file__).resolve().parents[2]
TOP = (".ci", ".github", "configs", "docs", "mmdet_losses", "tests", "tools")
ADDED = '''"""Say what it was given. No other file names it."""

import sys

import mmdet_losses

print(sys.argv, mmdet_losses.__file__)
'''
QUICKSTART = "retinanet/retinanet_r18_fpn_giou_1xb4-4e_shapes.py"


def files(folder: Path) -> set[str]:
    """All files below a folder, but what Python writes."""
    paths = (path for path in folder.rglob("*") if path.is_file() and "__pycache__" not in path.parts)
    return {path.relative_to(folder).as_posix() for path in paths}


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the checkout with one tool more."""
    copy = tmp_path_factory.mktemp("tree")
    for name in TOP:
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, copy / name, ignore=shutil.ignore_patterns("__pycache__"))
    for path in ROOT.iterdir():
        if path.is_file() and path.name not in (".venv.lock", ".venv.log"):
            shutil.copy(path, copy / path.name)
    (copy / "tools" / "say_hello.py").write_text(ADDED)
    return copy


@pytest.fixture(scope="module")
def built(tree: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, unpacked as an installer does it, and the sdist beside it."""
    out = tmp_path_factory.mktemp("built")
    code = (
        "import sys; sys.path.insert(0, 'tools/wheel_building'); out = sys.argv[1]; "
        "from wheel_backend import build_sdist, build_wheel; build_sdist(out); build_wheel(out)"
    )
    run([sys.executable, "-c", code, str(out)], tree)
    (wheel,) = out.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        assert len(set(archive.namelist())) == len(archive.namelist())
        archive.extractall(out / "site")
    return out


@pytest.fixture
def site(built: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The installed package's folder, in which the package of this process looks for its configs and tools."""
    package = built / "site" / "mmdet_losses"
    monkeypatch.setattr(config_files, "PACKAGE", package)
    return package


def run(arguments: list[str], folder: Path, code: int = 0, path: Path | None = None) -> str:
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    if path is not None:
        environment["PYTHONPATH"] = str(path)
    done = subprocess.run(arguments, cwd=folder, env=environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == code, done.stdout + done.stderr
    return done.stdout + done.stderr


def test_wheel_holds_the_package_its_configs_and_its_tools(tree: Path, built: Path) -> None:
    package = built / "site" / "mmdet_losses"
    of_a_checkout = {"run", "gpu_check.sh", "mutation.py", "mutation_testing", "wheel_building"}
    for folder in ("configs", "tools"):
        wanted = {name for name in files(tree / folder) if name.partition("/")[0] not in of_a_checkout}
        assert files(package / ".mim" / folder) == wanted != set()
        for name in files(package / ".mim" / folder):
            assert (package / ".mim" / folder / name).read_bytes() == (tree / folder / name).read_bytes()
    assert (package / ".mim" / "model-index.yml").read_bytes() == (tree / "model-index.yml").read_bytes()
    shipped = {name for name in files(package) if not name.startswith(".mim/")}
    assert shipped == files(tree / "mmdet_losses") and {"py.typed", "kernels/cpp/loss.h"} <= shipped
    (information,) = (built / "site").glob("*.dist-info")
    assert information.name == f"mmdet_losses-{mmdet_losses.__version__}.dist-info"


@pytest.mark.parametrize("root", ["mmdet_losses", "*.dist-info"])
def test_mim_finds_one_file_of_each_config(root: str, built: Path) -> None:
    """It looks for the bare name in the whole package, onedl-mim 0.5 beside the first file by name."""
    (folder,) = (built / "site").glob(root)
    assert (folder / ".mim" / "model-index.yml").read_bytes() == (ROOT / "model-index.yml").read_bytes()
    assert files(folder / ".mim" / "configs") == files(ROOT / "configs")
    names = [Path(name).name for name in files(folder) if "/configs/" in name and "/_base_/" not in name]
    configs = [name for name in names if name.endswith(".py")]
    assert len(configs) == len(set(configs)) > 30


def test_no_file_is_installed_before_those_that_mim_takes_for_the_package(built: Path) -> None:
    """A script in bin/ would be."""
    assert {path.name.partition("-")[0] for path in (built / "site").iterdir()} == {"mmdet_losses"}
    assert not list((built / "site").glob("*.data")) + list((built / "site").glob("*.dist-info/entry_points.txt"))


def test_what_mim_starts_is_the_tool(built: Path, tmp_path: Path) -> None:
    pytest.importorskip("mmdet")
    (train,) = (built / "site").glob("*.dist-info/.mim/tools/train.py")
    said = run([sys.executable, "-W", "ignore", str(train), "none.py"], tmp_path, code=2, path=built / "site")
    assert said.splitlines()[-1].startswith("train: error: config none.py does not exist")


def test_sdist_holds_a_checkout(tree: Path, built: Path) -> None:
    (path,) = built.glob("*.tar.gz")
    with tarfile.open(path) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    for folder in TOP:
        if (tree / folder).is_dir():
            assert {f"{folder}/{name}" for name in files(tree / folder)} - names == set()
    assert {
        "tools/wheel_building/wheel_backend.py",
        "pyproject.toml",
        "CHANGELOG.md",
        "CONTRIBUTING.md",
        "CITATION.cff",
        "model-index.yml",
    } <= names


def test_an_added_tool_is_a_command(built: Path, tmp_path: Path) -> None:
    """Of the installed package, in an empty folder; no other file of the tree has its name."""
    said = run([sys.executable, "-m", "mmdet_losses", "say-hello", "a", "--b=c"], tmp_path, path=built / "site")
    assert said.splitlines()[-1] == (
        f"['python -m mmdet_losses say-hello', 'a', '--b=c'] {built / 'site' / 'mmdet_losses' / '__init__.py'}"
    )


def test_help_lists_every_tool(
    site: Path, tree: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    monkeypatch.setattr(sys, "argv", ["mmdet_losses", "--help"])
    assert command.main() == 0
    lines = capsys.readouterr().out.splitlines()
    said = {line.split()[0]: " ".join(line.split()[1:]) for line in lines if line[:2] == "  " != line[1:3]}
    tools = {path.stem.replace("_", "-") for path in (tree / "tools").glob("*.*")} - {"mutation"} | {"bccd"}
    assert set(said) == tools and {"train", "test", "list-losses", "say-hello", "dist-train"} <= tools
    assert said["say-hello"] == "Say what it was given." and said["train"] == "Train a detector."
    assert all(said.values()) and max(map(len, lines)) <= 105


@pytest.mark.parametrize(
    ("word", "message"),
    [
        ("tset", "there is no command 'tset'; did you mean test?"),
        ("dist", "'dist' may mean dist-test or dist-train"),
        ("zzz", "there is no command 'zzz': bccd, benchmark,"),
    ],
)
def test_word_that_is_no_command(
    word: str, message: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    monkeypatch.setattr(sys, "argv", ["mmdet_losses", word])
    with pytest.raises(SystemExit) as stop:
        command.main()
    assert message in str(stop.value)


def test_a_command_may_be_cut_short() -> None:
    known = command.commands()
    assert command.chosen("list", known) == command.chosen("list_losses", known) == "list-losses"
    assert command.chosen("test", known) == "test"


@pytest.mark.parametrize(
    ("module", "cure"), [("mmdet.apis", None), ("mmengine", "MMDetection 3.x"), ("cv2", "[tools]")]
)
def test_a_missing_module_is_named_with_its_cure(
    module: str, cure: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "tool.py").write_text(f"raise ModuleNotFoundError('none', name={module!r})\n")
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.setitem(sys.modules, "__main__", sys.modules["__main__"])
    monkeypatch.setattr(sys, "argv", [])
    with pytest.raises((SystemExit, ModuleNotFoundError)) as stop:
        command.run("tool", tmp_path / "tool.py", [])
    assert (cure is None) is isinstance(stop.value, ModuleNotFoundError)
    assert cure is None or cure in str(stop.value)


def test_build_stops_where_configs_are_no_folder(tmp_path: Path) -> None:
    """As where a checkout has a text file in place of a link."""
    shutil.copytree(ROOT / "tools" / "wheel_building", tmp_path / "tools" / "wheel_building")
    (tmp_path / "configs").write_text("../configs")
    build = (
        "import sys; sys.path.insert(0, 'tools/wheel_building'); from setuptools import setup; import wheel_backend; "
        "setup(cmdclass={'build_py': wheel_backend.BuildWithConfigs}, script_args=['-q', 'build_py'])"
    )
    said = run([sys.executable, "-c", build], tmp_path, code=1)
    assert said.splitlines()[-1].startswith(
        f"mmdet_losses cannot be built: {tmp_path} must hold the folder configs and the file model-index.yml"
    )
    assert not (tmp_path / "build").exists()


def test_config_path_names_what_is_near(site: Path) -> None:
    found = site / ".mim" / "configs" / QUICKSTART
    assert config_path(QUICKSTART) == config_path(Path(QUICKSTART).name) == str(found)
    assert config_path(f"configs/{QUICKSTART}") == config_path(f"mmdet_losses::{QUICKSTART}") == str(found)
    with pytest.raises(FileNotFoundError, match=r"must be a config.*got 'retinanet/retina_r18.*did you mean 'retina"):
        config_path(QUICKSTART.replace("retinanet_", "retina_"))
    with pytest.raises(FileNotFoundError, match="name must be a config"):
        config_path(f"atss/{Path(QUICKSTART).name}")


@pytest.mark.parametrize("place", ["wheel", "checkout"])
def test_base_of_the_package_in_any_folder(place: str, request: pytest.FixtureRequest, tmp_path: Path) -> None:
    """Also of a checkout, and so of an editable install; the parts are MMDetection's, in any scope."""
    pytest.importorskip("mmdet")
    from mmengine.config import Config

    folder = request.getfixturevalue("site") / ".mim" if place == "wheel" else ROOT
    config = tmp_path / "mine.py"
    config.write_text(f'_base_ = "mmdet_losses::{QUICKSTART}"\nmodel = dict(bbox_head=dict(num_classes=7))\n')
    mine, theirs = Config.fromfile(config), Config.fromfile(folder / "configs" / QUICKSTART)
    assert mine.model.pop("_scope_") == "mmdet"
    assert (mine.model.bbox_head.pop("num_classes"), theirs.model.bbox_head.pop("num_classes")) == (7, 3)
    assert mine.model.to_dict() == theirs.model.to_dict()


def test_config_that_nothing_imported_the_package_for(built: Path, tmp_path: Path) -> None:
    """By the documented expression; in a process without pkg_resources, the package unpacked, nothing of a clone."""
    pytest.importorskip("mmdet")
    (tmp_path / "mine.py").write_text(
        f'_base_ = __import__("mmdet_losses").config_path("{QUICKSTART}")\n'
        'model = dict(bbox_head=dict(loss_bbox=dict(type="CIoULoss")))\n'
    )
    code = """
        import sys
        sys.modules["pkg_resources"] = None
        from mmengine.config import Config
        assert "mmdet_losses" not in sys.modules
        config = Config.fromfile("mine.py", import_custom_modules=False)
        print(config.model.bbox_head.loss_bbox.type, config.default_scope, sys.modules["mmdet_losses"].__file__)
    """
    (tmp_path / "read.py").write_text("\n".join(line.strip() for line in code.splitlines()))
    said = run([sys.executable, "-W", "ignore", "read.py"], tmp_path, path=built / "site")
    assert said.splitlines()[-1] == f"CIoULoss mmdet {built / 'site' / 'mmdet_losses' / '__init__.py'}"


def test_config_of_another_package_is_said_to_be_missing() -> None:
    with pytest.raises(ModuleNotFoundError, match="no_such_package is not installed, and the config"):
        config_files.config_of_another("no_such_package", "a/b.py")
    with pytest.raises(FileNotFoundError, match=r"mmdet_losses has no config 'a/b\.py': there is no file"):
        config_files.config_of_another("mmdet_losses", "a/b.py")


def test_tools_of_a_clone_say_so(site: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture) -> None:
    tool = runpy.run_path(str(site / ".mim" / "tools" / "tool_runtime" / "checkout.py"))
    with pytest.raises(SystemExit) as stop:
        tool["need_checkout"]("reliability", "tests", "configs")
    assert stop.value.code == 2
    assert capsys.readouterr().err.startswith("reliability: error: it works on tests of a clone")
