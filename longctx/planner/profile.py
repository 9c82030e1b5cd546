"""What a calibration measured of one model, and where the planner looks for it."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import platformdirs
from pydantic import Field, ValidationError

from longctx.model_info import ModelInfo
from longctx.rope import Method
from longctx.types import Frozen

PROFILE_VERSION: Literal[1] = 1


class ProfileParameters(Frozen):
    """How the method is set.

    ``scale_factor`` multiplies n_ctx / n_ctx_train to give the method's s: NTK-aware gives out
    before s times the window, so its s must be larger than the ratio. The YaRN betas are None
    for llama.cpp's own.
    """

    scale_factor: float = Field(default=1.0, ge=1, le=16)
    beta_fast: float | None = Field(default=None, gt=0)
    beta_slow: float | None = Field(default=None, gt=0)


class Profile(Frozen):
    """The best method for one model, as measured.

    ``window`` is the largest window in tokens that was measured, ``results`` one row a trial.
    """

    version: Literal[1] = PROFILE_VERSION
    model_sha256: str = Field(pattern="^[0-9a-f]{64}$")
    method: Method
    window: int = Field(gt=0)
    parameters: ProfileParameters = ProfileParameters()
    results: tuple[dict[str, Any], ...] = ()

    def save(self, path: Path) -> None:
        """Write the profile, all of it or nothing."""
        path.parent.mkdir(parents=True, exist_ok=True)
        partial = path.with_suffix(".partial")
        partial.write_text(self.model_dump_json(indent=1), encoding="utf-8")
        partial.replace(path)


def profiles_dir() -> Path:
    """The folder of all profiles, in the user's data directory."""
    return Path(platformdirs.user_data_dir("longctx", appauthor=False)) / "profiles"


def profile_path(info: ModelInfo) -> Path:
    """Where a model's profile lies.

    The size comes first, so that a model of a size that nobody calibrated need not be hashed.
    """
    return profiles_dir() / f"{info.file_bytes}-{info.sha256}.json"


def find_profile(info: ModelInfo) -> tuple[Profile | None, str | None]:
    """Look a model's profile up.

    Returns:
        The profile, or None; and a warning where there is one that cannot be used.
    """
    if not any(profiles_dir().glob(f"{info.file_bytes}-*.json")):
        return None, None
    path = profile_path(info)
    if not path.exists():
        return None, None
    try:
        profile = Profile.model_validate_json(path.read_bytes())
    except (OSError, ValidationError) as error:
        first = error.errors()[0] if isinstance(error, ValidationError) else None
        why = f"{'.'.join(map(str, first['loc']))}: {first['msg']}" if first else str(error)
        return None, (
            f"The calibration profile {path} is ignored: it cannot be read as version "
            f"{PROFILE_VERSION} ({why}). Calibrate again."
        )
    if profile.model_sha256 != info.sha256:
        return None, (
            f"The calibration profile {path} is ignored: it was measured on another model "
            f"({profile.model_sha256[:12]}…, this one is {info.sha256[:12]}…). Calibrate again."
        )
    return profile, None
