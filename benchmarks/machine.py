"""What a benchmark ran on, and where its figures go."""

from __future__ import annotations

import json
import os
import platform
from datetime import datetime, timezone
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import psutil

RESULTS = Path(__file__).parent / "results"
_PACKAGES = ("llama-cpp-python", "llguidance", "numpy", "tiktoken")


def describe() -> dict[str, Any]:
    """Processor, memory, versions."""
    model = next(
        (
            line.split(":", 1)[1].strip()
            for line in Path("/proc/cpuinfo").read_text().splitlines()
            if line.startswith("model name")
        )
        if Path("/proc/cpuinfo").exists()
        else iter(()),
        platform.processor(),
    )
    return {
        "date": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "processor": model,
        "cores": psutil.cpu_count(logical=False),
        "memory_bytes": psutil.virtual_memory().total,
        "load_average": os.getloadavg()[0],
        "python": platform.python_version(),
        **{name: _version(name) for name in _PACKAGES},
    }


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:  # a build that lies beside the others, as of another backend
        return "unknown"


def save(name: str, figures: Any) -> Path:
    """Write raw figures beside the machine they were seen on."""
    RESULTS.mkdir(exist_ok=True)
    path = RESULTS / f"{name}.json"
    path.write_text(json.dumps({"machine": describe(), "figures": figures}, indent=1) + "\n")
    return path
