"""What is called when a module has been imported: when, how often, and beside which other imports and finders."""

import importlib
import importlib.machinery
import importlib.util
import sys
import textwrap
import threading
from importlib.abc import MetaPathFinder

import pytest

from mmdet_losses.import_hook import ImportHook, when_imported


@pytest.fixture
def package(tmp_path, monkeypatch):
    """Writes a package ``made`` of the given modules, and takes it out of the process again."""
    before = list(sys.meta_path)
    monkeypatch.syspath_prepend(tmp_path)

    def write(**modules):
        (tmp_path / "made").mkdir(exist_ok=True)
        for name, code in {"__init__": "", **modules}.items():
            (tmp_path / "made" / f"{name}.py").write_text(textwrap.dedent(code))
        importlib.invalidate_caches()

    yield write
    sys.meta_path[:] = before
    for name in [name for name in sys.modules if name.partition(".")[0] == "made"]:
        del sys.modules[name]


@pytest.fixture
def calls():
    """What the modules and the function add to."""
    sys.calls = []
    yield sys.calls
    del sys.calls


def waiting():
    return [hook for hook in sys.meta_path if isinstance(hook, ImportHook) and hook.name == "made.models"]


MODELS = "import sys; sys.calls.append('begins'); value = 1; sys.calls.append('ends')"


def test_it_is_called_at_the_end_of_the_import_and_once(package, calls):
    package(models=MODELS)
    when_imported("made.models", lambda: calls.append(sys.modules["made.models"].value))
    assert calls == []
    models = importlib.import_module("made.models")
    assert calls == ["begins", "ends", 1]
    assert not waiting()
    assert type(models.__loader__) is type(models.__spec__.loader) is importlib.machinery.SourceFileLoader
    importlib.reload(models)
    assert calls == ["begins", "ends", 1, "begins", "ends"]


def test_it_is_called_at_once_where_the_module_is_there(package, calls):
    package(models=MODELS)
    importlib.import_module("made.models")
    when_imported("made.models", lambda: calls.append("called"))
    assert calls == ["begins", "ends", "called"]
    assert not waiting()


def test_several_are_called(package, calls):
    package(models="", other="")
    when_imported("made.models", lambda: calls.append("one"))
    when_imported("made.models", lambda: calls.append("two"))
    when_imported("made.other", lambda: calls.append("other"))
    importlib.import_module("made.models")
    assert sorted(calls) == ["one", "two"]
    assert [hook.name for hook in sys.meta_path if isinstance(hook, ImportHook) and "made" in hook.name] == [
        "made.other"
    ]


def test_an_import_that_fails_is_left_alone_and_the_next_one_counts(package, calls):
    package(models="import made.absent")
    when_imported("made.models", lambda: calls.append("called"))
    for _ in range(2):
        with pytest.raises(ModuleNotFoundError, match=r"No module named 'made.absent'") as error:
            importlib.import_module("made.models")
        assert error.value.name == "made.absent"
        assert error.value.__cause__ is None and error.value.__context__ is None
    package(models="import made.absent", absent="")
    importlib.import_module("made.models")
    assert calls == ["called"]


def test_what_the_function_raises_goes_to_the_importer_and_the_next_import_calls_it_again(package, calls):
    package(models="")

    def fails_once():
        calls.append("called")
        if len(calls) == 1:
            raise ValueError("a name is taken")

    when_imported("made.models", fails_once)
    with pytest.raises(ValueError, match="a name is taken"):
        importlib.import_module("made.models")
    assert "made.models" not in sys.modules
    importlib.import_module("made.models")
    assert calls == ["called", "called"]


def test_a_module_whose_import_is_under_way_is_waited_for(package, calls):
    package(
        models="""
            import sys
            from mmdet_losses.import_hook import when_imported
            when_imported("made.models", lambda: sys.calls.append(sys.modules["made.models"].value))
            sys.calls.append("goes on")
            import made.other
            value = 1
        """,
        other="",
    )
    made = importlib.import_module("made.models").__spec__.parent
    assert calls == ["goes on", 1]
    assert not waiting()
    assert type(sys.modules[made]) is type(sys)


def test_a_module_whose_import_is_under_way_and_fails_is_waited_for(package, calls):
    package(
        models="""
            import sys
            from mmdet_losses.import_hook import when_imported
            if not sys.calls:
                when_imported("made.models", lambda: sys.calls.append("called"))
                sys.calls.append("fails")
                raise ImportError("not yet")
        """
    )
    with pytest.raises(ImportError, match="not yet"):
        importlib.import_module("made.models")
    assert calls == ["fails"]
    importlib.import_module("made.models")
    assert calls == ["fails", "called"]


class Asks(MetaPathFinder):
    """A finder that hands on what all the others find, as other import hooks do."""

    asking = False

    def find_spec(self, name, path=None, target=None):
        if self.asking or not name.startswith("made."):
            return None
        self.asking = True
        try:
            return importlib.util.find_spec(name)
        finally:
            self.asking = False


class AsksTheRest(MetaPathFinder):
    """One that does not expect to be asked by those."""

    def find_spec(self, name, path=None, target=None):
        if not name.startswith("made."):
            return None
        found = (finder.find_spec(name, path, target) for finder in sys.meta_path if finder is not self)
        return next((spec for spec in found if spec), None)


class Shadows(MetaPathFinder):
    """One that finds for itself, so that none behind it is asked."""

    def find_spec(self, name, path=None, target=None):
        return importlib.machinery.PathFinder.find_spec(name, path, target) if name == "made.models" else None


@pytest.mark.parametrize("finder", [Asks, AsksTheRest, Shadows])
@pytest.mark.parametrize("first", [True, False])
def test_beside_other_finders(finder, first, package, calls):
    package(models="import made.other", other="")
    if not first:
        sys.meta_path.insert(0, finder())
    when_imported("made.models", lambda: calls.append("called"))
    if first:
        sys.meta_path.insert(0, finder())
    importlib.import_module("made.models")
    assert calls == ["called"]
    assert not waiting()
    assert type(sys.modules["made"]) is type(sys)


def test_looking_for_the_module_does_not_import_it(package, calls):
    package(models=MODELS)
    when_imported("made.models", lambda: calls.append("called"))
    assert importlib.util.find_spec("made.models").loader.get_source("made.models") == MODELS
    assert calls == []
    importlib.import_module("made.models")
    assert calls == ["begins", "ends", "called"]


def test_no_thread_sees_the_module_without_it(package, calls):
    package(models="import time; time.sleep(0.05)")

    def slowly():
        threading.Event().wait(0.05)
        calls.append("called")

    when_imported("made.models", slowly)
    seen = []

    def imports():
        importlib.import_module("made.models")
        seen.append(list(calls))

    threads = [threading.Thread(target=imports) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert seen == [["called"]] * 8


def test_a_module_that_another_thread_is_importing(package, calls):
    package(
        models="""
            import sys
            sys.calls.append("begins")
            sys.calls_go_on.wait(10)
            import made.other
        """,
        other="",
    )
    sys.calls_go_on = threading.Event()
    thread = threading.Thread(target=importlib.import_module, args=("made.models",))
    thread.start()
    while not calls:
        pass
    when_imported("made.models", lambda: calls.append("called"))
    assert calls == ["begins"]
    sys.calls_go_on.set()
    thread.join()
    del sys.calls_go_on
    assert calls == ["begins", "called"]
