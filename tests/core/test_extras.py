"""What an extra asks for is checked before it is used: that it is there, and not too old."""

import pytest

from diffbev_engine.core import extras
from diffbev_engine.core.errors import UsageError
from diffbev_engine.core.extras import Lack, lacking, require


@pytest.fixture
def asked(monkeypatch):
    """The requirements of this package."""
    listed = [
        "numpy>=1.24",
        "click>=999; extra == 'new'",
        "pytest>=1; extra == 'new'",
        "rich>=1; extra == 'x'",
    ]
    monkeypatch.setattr(extras, "requires", lambda _package: listed)
    monkeypatch.setattr(
        extras, "packages_distributions", lambda: {"click": ["click"], "pytest": ["pytest-x"]}
    )
    monkeypatch.setattr(extras, "version", {"click": "8.2", "pytest-x": "9.0.0rc1+local"}.__getitem__)


@pytest.mark.usefixtures("asked")
def test_packages_are_lacking_that_are_absent_or_older_than_the_extra_asks_for():
    packages = ["click", "pytest", "numpy", "package_of_nobody"]
    assert lacking(packages, "new") == [Lack("click", ">=999", "8.2"), Lack("package_of_nobody")]
    assert lacking(packages[:3], "old") == []


@pytest.mark.usefixtures("asked")
def test_what_is_lacking_is_named_with_the_command_that_installs_it():
    with pytest.raises(UsageError) as refused:
        require("this", ["click", "package_of_nobody"], "new")
    wanted = 'this needs click>=999 (8.2 is installed), package_of_nobody: pip install "diffbev[new]".'
    assert str(refused.value) == wanted


def test_a_source_tree_that_is_not_installed_asks_for_no_version(monkeypatch):
    monkeypatch.setattr(extras, "_THIS", "package-of-nobody")
    assert lacking(["click"], "new") == []


def test_every_extra_is_known_by_its_packages():
    for extra, packages in (("onnx", {"onnx", "onnxscript", "onnxruntime", "torch"}), ("wandb", {"wandb"})):
        assert extras._wanted(extra).keys() == packages
