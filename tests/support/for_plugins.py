"""Support of these tests for those of plugins, whose own ``tests`` is another package."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path
from typing import Any

import pytest


def played() -> Any:
    """:mod:`tests.support.played`; a test is skipped where llama.cpp's templates cannot be had."""
    with pytest.MonkeyPatch.context() as patch:
        for name in [name for name in sys.modules if name.partition(".")[0] == "tests"]:
            patch.delitem(sys.modules, name)
        patch.syspath_prepend(str(Path(__file__).parents[2]))
        module = importlib.import_module("tests.support.played")
    try:
        module.models_folder()
    except Exception as error:
        pytest.skip(f"llama.cpp's source archive cannot be downloaded: {error!r}")
    return module
