"""What the doctor found."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import computed_field

from longctx.devices import Device
from longctx.types import Frozen


class Check(Frozen):
    """One thing that was tried. ``seconds`` it took; None where that says nothing.

    A ``warning`` works, and could work better; ``skipped`` was not tried.
    """

    name: str
    status: Literal["ok", "warning", "failed", "skipped"]
    detail: str
    seconds: float | None = None


class Extra(Frozen):
    """An optional part: which of its packages are there, by version, and which are not."""

    name: str
    present: dict[str, str]
    missing: tuple[str, ...]

    @computed_field  # type: ignore[prop-decorator]  # mypy has no decorated properties
    @property
    def install(self) -> str | None:
        """How to get what is missing; None where nothing is."""
        return f'pip install "longctx-sdk[{self.name}]"' if self.missing else None


class CacheFolder(Frozen):
    """A folder that longctx writes to; it may be deleted, and is filled again."""

    holds: str
    path: Path
    n_files: int
    n_bytes: int


class LlamaCpp(Frozen):
    """The llama.cpp that was loaded: its build, what it uses of the processor, whether it can use
    GPUs, and the devices that it finds.
    """

    build: str
    backends: tuple[str, ...]
    cpu_features: tuple[str, ...]
    gpu_offload: bool
    devices: tuple[Device, ...] = ()


class DoctorReport(Frozen):
    """An installation. ``llama_cpp`` is None where its library does not load.

    ``n_cores`` counts physical cores that this process may use, ``n_logical`` what the machine
    shows; ``memory_available_bytes`` is what a plan takes for free. ``gomp_spincount`` are the
    turns that threads of GNU's OpenMP wait awake before they sleep (docs/benchmarks.md).
    """

    longctx: str
    python: str
    platform: str
    packages: dict[str, str]
    llama_cpp: LlamaCpp | None
    extras: tuple[Extra, ...]
    n_cores: int
    n_logical: int
    omp_wait_policy: str
    gomp_spincount: str
    memory_total_bytes: int
    memory_available_bytes: int
    caches: tuple[CacheFolder, ...]
    checks: tuple[Check, ...]

    @computed_field  # type: ignore[prop-decorator]  # mypy has no decorated properties
    @property
    def ok(self) -> bool:
        """Whether nothing failed."""
        return all(check.status != "failed" for check in self.checks)
