"""What the distribution promises."""

from __future__ import annotations

from importlib.metadata import distribution, entry_points
from pathlib import Path

import longctx


def test_metadata() -> None:
    """Names, version and extras are those that the documentation gives."""
    package = distribution("longctx-sdk")
    assert package.version == longctx.__version__
    assert package.metadata["Requires-Python"] == ">=3.10"
    extras = {"demo", "dev", "eval", "hub", "mcp", "otel", "rag", "ray", "remote", "server"}
    assert extras <= set(package.metadata.get_all("Provides-Extra") or ())
    (script,) = [e for e in entry_points(group="console_scripts") if e.name == "longctx"]
    assert script.load() is not None


def test_types_are_shipped() -> None:
    """The package says that it is typed."""
    assert Path(longctx.__file__).with_name("py.typed").exists()
