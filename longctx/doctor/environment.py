"""Versions, extras, processor, memory and caches, without running a model."""

from __future__ import annotations

import os
import platform
import re
import tempfile
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, requires, version
from pathlib import Path

import psutil

from longctx import __version__
from longctx.doctor.report import CacheFolder, Check, DoctorReport, Extra, LlamaCpp
from longctx.files import cache_folder

_DISTRIBUTION = "longctx-sdk"
_GPU = (
    'this llama.cpp was built for CPUs; with CUDA: CMAKE_ARGS="-DGGML_CUDA=on" pip install '
    "--force-reinstall --no-cache-dir llama-cpp-python (Metal and Vulkan: -DGGML_METAL=on, "
    "-DGGML_VULKAN=on)"
)
MANY_TURNS = 10_000
"""That threads wait awake for each other, from which on it is spinning: some 100 µs."""


def examine(cache_dir: Path | None = None) -> DoctorReport:
    """Look at this installation.

    Args:
        cache_dir: the folder that is passed to :class:`longctx.LongContextLLM`, if any: where
            its saved sessions lie.
    """
    policy = os.environ.get("OMP_WAIT_POLICY")
    llama_cpp, loads = _load_llama_cpp()
    caches = tuple(_caches(cache_dir))
    return DoctorReport(
        longctx=__version__,
        python=platform.python_version(),
        platform=platform.platform(),
        packages=dict(_installed(_requirements().get(None, []))),
        llama_cpp=llama_cpp,
        extras=tuple(
            _extra(name, packages)
            for name, packages in _requirements().items()
            if name not in (None, "dev")
        ),
        n_cores=_cores(),
        n_logical=psutil.cpu_count() or 1,
        # Importing llama.cpp sets them where nobody did.
        omp_wait_policy=os.environ.get("OMP_WAIT_POLICY", "not set"),
        gomp_spincount=os.environ.get("GOMP_SPINCOUNT", "not set"),
        memory_total_bytes=int(psutil.virtual_memory().total),
        memory_available_bytes=_free_bytes(),
        caches=caches,
        checks=(loads, _openmp(policy), *map(_writable, caches)),
    )


def _load_llama_cpp() -> tuple[LlamaCpp | None, Check]:
    """Load the library: what else is wrong with it, it says itself."""
    name = "llama.cpp loads"
    try:
        from longctx._native import (
            backend_names,
            build_id,
            cpu_features,
            list_devices,
            supports_gpu_offload,
        )
    except Exception as error:  # a missing symbol, a wrong processor, a broken build
        return None, Check(
            name=name,
            status="failed",
            detail=f"{type(error).__name__}: {error}. Build it again: pip install "
            "--force-reinstall --no-cache-dir llama-cpp-python (needs a C++ compiler)",
        )
    found = LlamaCpp(
        build=build_id(),
        backends=backend_names(),
        cpu_features=cpu_features(),
        gpu_offload=supports_gpu_offload(),
        devices=list_devices(),
    )
    return found, Check(name=name, status="ok", detail=_gpu_detail(found))


def _gpu_detail(found: LlamaCpp) -> str:
    from longctx.planner import usable_devices

    if not found.gpu_offload:
        return _GPU
    names = [f"{i} {device.name}" for i, device in enumerate(usable_devices(found.devices))]
    if not names:
        return "GPUs are supported, and none is found: look at the driver"
    return f"layers that fit go to {', '.join(names)}"


def _openmp(policy: str | None) -> Check:
    name = "OpenMP waits passively"
    turns = os.environ.get("GOMP_SPINCOUNT", "not set")
    is_active = policy is not None and policy.lower() == "active"
    # Other words and numbers are "infinite" and millions, or GNU's OpenMP takes 300,000 for them.
    if is_active or not turns.isdecimal() or int(turns) > MANY_TURNS:
        said = "OMP_WAIT_POLICY=active" if is_active else f"GOMP_SPINCOUNT={turns}"
        return Check(
            name=name,
            status="warning",
            detail=f"{said}: threads that spin decode up to twenty times slower on a busy machine; "
            "unset OMP_WAIT_POLICY and GOMP_SPINCOUNT",
        )
    by = "longctx" if policy is None else "the environment"
    if turns == "0":
        how = "threads sleep at once: right on a busy machine, on an idle one half as fast or less"
    else:
        how = "threads wait awake for so many turns; 0 is better where others keep all cores busy"
    detail = f"OMP_WAIT_POLICY is set by {by}; GOMP_SPINCOUNT={turns}, {how}"
    return Check(name=name, status="ok", detail=detail)


def _requirements() -> dict[str | None, list[str]]:
    """Names of the packages that the distribution asks for, by extra (None: always)."""
    found: dict[str | None, list[str]] = {}
    for line in requires(_DISTRIBUTION) or ():
        extra = re.search(r"extra\s*==\s*['\"]([\w-]+)['\"]", line)
        package = re.match(r"[\w.-]+", line)
        if package:
            found.setdefault(extra[1] if extra else None, []).append(package[0])
    return found


def _installed(packages: list[str]) -> Iterator[tuple[str, str]]:
    for package in packages:
        try:
            yield package, version(package)
        except PackageNotFoundError:
            continue


def _extra(name: str | None, packages: list[str]) -> Extra:
    present = dict(_installed(packages))
    missing = tuple(package for package in packages if package not in present)
    return Extra(name=str(name), present=present, missing=missing)


def _cores() -> int:
    from longctx.backends.threads import default_threads

    return default_threads()


def _free_bytes() -> int:
    from longctx.planner.memory_limit import free_bytes

    return free_bytes()


def _caches(cache_dir: Path | None) -> Iterator[CacheFolder]:
    """Each as the room that fills it finds it."""
    from longctx.planner.profile import profiles_dir

    folders = {
        "fast copies of models": cache_folder("models", cache_dir),
        "embeddings": cache_folder("embeddings"),
        "trials of calibrations": cache_folder("calibrations"),
        "calibration profiles": profiles_dir(),
    }
    if cache_dir is not None:
        folders["saved sessions"] = cache_folder("sessions", cache_dir)
    for holds, path in folders.items():
        sizes = list(_sizes(path))
        yield CacheFolder(holds=holds, path=path, n_files=len(sizes), n_bytes=sum(sizes))


def _sizes(folder: Path) -> Iterator[int]:
    # Another process may drop a file at any moment.
    for file in folder.rglob("*"):
        try:
            if file.is_file():
                yield file.stat().st_size
        except OSError:
            continue


def _writable(cache: CacheFolder) -> Check:
    """Try where the folder is, or would be made."""
    folder = next((path for path in (cache.path, *cache.path.parents) if path.exists()), None)
    name = f"{cache.holds} can be kept"
    try:
        with tempfile.TemporaryFile(dir=folder):
            return Check(name=name, status="ok", detail=str(cache.path))
    except OSError as error:
        return Check(
            name=name,
            status="failed",
            detail=f"nothing can be written in {cache.path} ({error}); make it writable, or set "
            "XDG_CACHE_HOME and XDG_DATA_HOME",
        )
