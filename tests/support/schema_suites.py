"""JSON schemas of others: the JSON-Schema-Test-Suite, and those of llama.cpp's converter."""

from __future__ import annotations

import json
import re
import tarfile
import tempfile
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import platformdirs

from tests.support.llama_cpp_models import SCHEMA_CASES, models_folder
from tests.support.sources import download, put

SUITE_OF = "jsonschema", "4.23.0"
"""A package whose source archive carries the suite (MIT licence), under ``json/tests``."""
DRAFT = "draft2020-12"


@dataclass(frozen=True)
class Case:
    """A schema, and instances with whether they are valid."""

    name: str
    schema: Any
    instances: tuple[tuple[Any, bool], ...] = ()


def json_schema_test_suite() -> list[Case]:
    """What draft 2020-12 requires, downloaded on the first call.

    Raises:
        Exception: whatever pip raises when the archive cannot be had.
    """
    return [
        Case(
            f"{path.stem}: {group['description']}",
            group["schema"],
            tuple((test["data"], test["valid"]) for test in group["tests"]),
        )
        for path in sorted(_suite_folder().glob("*.json"))
        for group in json.loads(path.read_text())
    ]


def llama_cpp_schemas() -> list[Case]:
    """What llama.cpp tests its converter with, without the grammars that it expects.

    Raises:
        Exception: whatever pip raises when the archive cannot be had.
    """
    text = (models_folder() / SCHEMA_CASES).read_text()
    found = re.findall(
        r'(SUCCESS|FAILURE),\s*"([^"]+)",(?:\s*//[^\n]*)?\s*R"""\((.*?)\)"""', text, re.DOTALL
    )
    return [Case(name, json.loads(schema)) for _, name, schema in found]


def _suite_folder() -> Path:
    package, release = SUITE_OF
    cache = Path(platformdirs.user_cache_dir("longctx"))
    folder = cache / f"json-schema-test-suite-{package}-{release}"
    if not folder.exists():
        cache.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=cache) as name:
            work = Path(name)
            (work / "suite").mkdir()
            with tarfile.open(download(package, release, work)) as tar:
                for member in tar:
                    path = PurePosixPath(member.name)
                    wanted = path.parts[-3:-1] == ("tests", DRAFT) and path.suffix == ".json"
                    if wanted and member.isfile():
                        source = tar.extractfile(member)
                        assert source is not None
                        (work / "suite" / path.name).write_bytes(source.read())
            put(work / "suite", folder)
    return folder
