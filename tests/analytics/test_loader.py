import importlib
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from analytics.errors import BrokenPlugin, ModelRefused, UnknownPlugin
from analytics.loader import BUILT_IN, GROUP, known_detectors, load_detector
from analytics.options import DetectorOptions
from analytics.plugin import Detection, Detector
from analytics.runner import checked
from config.settings import AnalyticsSettings
from media.frames import Frame
from tests.fakes import onnxfile
from tests.fakes.clips import scene
from tests.fakes.plugins import code_blocks, install, install_strangers

PLUGINS_PAGE = Path(__file__).parents[2] / "docs" / "plugins.md"
OPTIONS = DetectorOptions("mine-1/room")


@pytest.fixture
def packages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder on the import path; what a test imported from it is forgotten afterwards."""
    folder = tmp_path / "packages"
    folder.mkdir()
    monkeypatch.syspath_prepend(str(folder))
    before = set(sys.modules)
    yield folder
    for name in set(sys.modules) - before:
        if (getattr(sys.modules[name], "__file__", None) or "").startswith(str(folder)):
            del sys.modules[name]
    importlib.invalidate_caches()


def look(detector: Detector, image: np.ndarray | None = None) -> list[Detection]:
    picture = scene(1.0) if image is None else image
    return list(detector.detect(Frame("p1/0", 0.0, 0.0, picture)))


def test_the_names_in_the_default_settings_exist() -> None:
    assert set(AnalyticsSettings().detectors) <= set(known_detectors())


@pytest.mark.parametrize("name", sorted(BUILT_IN))
def test_every_built_in_detector_keeps_the_contract(name: str, tmp_path: Path) -> None:
    detector = load_detector(name, DetectorOptions("mine-1/room", model=onnxfile.write(tmp_path)))
    assert isinstance(detector, Detector)
    assert detector.name == name
    assert 0 < detector.frames_per_s <= 30
    for size in ((320, 180), (1280, 720), (17, 16)):
        checked(look(detector, scene(1.0, size=size)))
    again = look(detector)
    assert again == look(detector)


def test_a_built_in_detector_says_why_its_model_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelRefused, match="no_card"):
        load_detector("absence", DetectorOptions("mine-1/room", model=tmp_path / "none.onnx"))


def test_an_unknown_name_is_refused_with_the_known_ones(packages: Path) -> None:
    install_strangers(packages)
    with pytest.raises(UnknownPlugin) as caught:
        load_detector("absense", OPTIONS)
    assert caught.value.name == "absense"
    assert {"absence", "square"} <= set(caught.value.known)
    assert "absence" in str(caught.value)


def test_an_installed_package_provides_a_detector(packages: Path) -> None:
    install_strangers(packages)
    detector = load_detector("square", OPTIONS)
    assert detector.name == "square"
    assert look(detector) == []


def test_built_in_names_cannot_be_taken_by_strangers(packages: Path, tmp_path: Path) -> None:
    install(packages, "thief", "class Thief: ...", {"absence": "thief:Thief"})
    detector = load_detector("absence", DetectorOptions("mine-1/room", model=onnxfile.write(tmp_path)))
    assert type(detector) is BUILT_IN["absence"]


def test_what_is_no_detector_is_refused(packages: Path) -> None:
    install_strangers(packages)
    with pytest.raises(BrokenPlugin, match="NoDetector"):
        load_detector("no-detector", OPTIONS)


@pytest.mark.parametrize("rate", [0, -1, 1000, float("nan")])
def test_a_rate_that_cannot_be_is_refused(packages: Path, rate: float) -> None:
    code = f"""
        class Fast:
            name = "fast"
            frames_per_s = float("{rate}")
            def __init__(self, options): ...
            def detect(self, frame): return []
        """
    install(packages, "fast", code, {"fast": "fast:Fast"})
    with pytest.raises(BrokenPlugin, match="pictures a second"):
        load_detector("fast", OPTIONS)


def test_the_example_on_the_plug_in_page_works_as_written(packages: Path) -> None:
    [code] = code_blocks(PLUGINS_PAGE, "python")
    [project] = [tomllib.loads(block) for block in code_blocks(PLUGINS_PAGE, "toml")]
    [module] = project["tool"]["setuptools"]["py-modules"]
    install(packages, module, code, project["project"]["entry-points"][GROUP])
    detector = load_detector("lamp", OPTIONS)
    dark = np.full((180, 320, 3), 60, np.uint8)
    assert look(detector, dark) == []
    lit = dark.copy()
    lit[45:90, 80:160] = (250, 20, 20)
    [seen] = checked(look(detector, lit))
    assert seen.label == "lamp"
    assert seen.box == (0.25, 0.25, 0.5, 0.5)
