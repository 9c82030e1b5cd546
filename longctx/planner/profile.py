"""What a calibration measured of one model, and where the planner looks for it."""

from __future__ import annotations

from collections.abc import Sequence
from math import log
from pathlib import Path
from statistics import geometric_mean, mean
from typing import Annotated, Literal

from pydantic import Field, ValidationError

from longctx.errors import LongCtxError
from longctx.files import data_folder, write_whole
from longctx.model_info import ModelInfo
from longctx.rope import Method, SelfExtendConfig
from longctx.types import Frozen, first_problem

PROFILE_VERSION: Literal[1] = 1


class ProfileParameters(Frozen):
    """How the method is set.

    ``scale_factor`` multiplies n_ctx / n_ctx_train to give the method's s: NTK-aware gives out
    before s times the window, so its s must be larger than the ratio. The YaRN betas are None
    for llama.cpp's own. ``self_extend`` has the group, block and start of that method,
    ``frequency_factors`` longrope's divisors [n_rot/2] at ``factors_scale``.
    """

    scale_factor: float = Field(default=1.0, ge=1, le=16)
    beta_fast: float | None = Field(default=None, gt=0)
    beta_slow: float | None = Field(default=None, gt=0)
    self_extend: SelfExtendConfig | None = None
    frequency_factors: tuple[Annotated[float, Field(gt=0)], ...] | None = None
    factors_scale: float = Field(default=2.0, gt=1)

    def factors_at(self, scale: float) -> tuple[float, ...] | None:
        """Longrope's divisors at a scale of 1 or more: the given ones, to a power.

        The power ln(scale) / ln(factors_scale) leaves 1 at the trained window, and keeps the
        form of the vector: NTK-aware's own factors change with s just so.
        """
        if self.frequency_factors is None:
            return None
        power = log(scale) / log(self.factors_scale)
        return tuple(factor**power for factor in self.frequency_factors)

    def __str__(self) -> str:
        far = self.self_extend
        if far is not None:
            return f" (group {far.group}, block {far.block:,}, start {far.start:,})"
        factors = self.frequency_factors
        if factors is not None:
            return f" ({len(factors)} factors from {min(factors):.3g} to {max(factors):.3g})"
        return f" (s times {self.scale_factor:.3g})" if self.scale_factor != 1 else ""


class TrialResult(Frozen):
    """One measurement of a calibration.

    ``window`` in tokens, ``perplexity`` of its last tokens, ``recall_nats`` the mean negative
    log-likelihood of a token of the facts asked for (None where none fit), ``seconds`` it took;
    ``stretch`` numbers the stretch of text, each with facts of its own.
    """

    window: int
    stretch: int = 0
    method: Method | Literal["self-extend"]
    parameters: ProfileParameters
    perplexity: float
    recall_nats: float | None = None
    seconds: float

    @property
    def loss(self) -> float:
        """What is minimised, in nats: of prose, plus of a fact."""
        return log(self.perplexity) + (self.recall_nats or 0.0)


class Profile(Frozen):
    """The best method for one model, as measured.

    ``window`` is the largest window in tokens that was measured, ``results`` one row a trial;
    ``text_sha256`` says on which text, ``adapter_sha256`` with which LoRA adapter of
    :func:`longctx.finetune.extend`, without which it says nothing.
    """

    version: Literal[1] = PROFILE_VERSION
    model_sha256: str = Field(pattern="^[0-9a-f]{64}$")
    method: Method | Literal["self-extend"]
    window: int = Field(gt=0)
    parameters: ProfileParameters = ProfileParameters()
    results: tuple[TrialResult, ...] = ()
    text_sha256: str | None = None
    adapter_sha256: str | None = Field(default=None, pattern="^[0-9a-f]{64}$")

    def measured(self, n_ctx: int) -> str | None:
        """What was measured at the largest window up to ``n_ctx``, and by formula beside it.

        By NTK's formula where that was measured there, else by the chosen method's own, which a
        calibration tries first.
        """
        windows = [row.window for row in self.results if self._chose(row) and row.window <= n_ctx]
        if not windows:
            return None
        rows = [row for row in self.results if row.window == max(windows)]
        mine = {row.stretch: row for row in rows if self._chose(row)}
        for method, name in (("ntk", "NTK's formula"), (self.method, "its formula")):
            first = next((row for row in rows if row.method == method), None)
            if first is not None and not self._chose(first):
                plain = {r.stretch: r for r in rows if _same(r, first) and r.stretch in mine}
                both = _figures([mine[stretch] for stretch in plain])
                return (
                    f"{both} at {max(windows):,} tokens against "
                    f"{_figures(list(plain.values()))} by {name}"
                )
        return f"{_figures(list(mine.values()))} at {max(windows):,} tokens"

    @property
    def n_stretches(self) -> int:
        """Stretches of text over which the choice was measured."""
        return sum(self._chose(row) and row.window == self.window for row in self.results)

    def _chose(self, row: TrialResult) -> bool:
        return (row.method, row.parameters) == (self.method, self.parameters)

    def save(self, path: Path) -> None:
        """Write the profile, all of it or nothing.

        Raises:
            RequestError: there is a folder, a pipe, a device or a read-only file.
            LongCtxError: the file cannot be written.
        """
        try:
            write_whole(path, self.model_dump_json(indent=1).encode(), parents=True)
        except OSError as error:
            raise LongCtxError(f"the profile cannot be written to {path}: {error}") from error


def _same(row: TrialResult, other: TrialResult) -> bool:
    return (row.method, row.parameters) == (other.method, other.parameters)


def _figures(rows: Sequence[TrialResult]) -> str:
    """Means over stretches of text."""
    text = f"perplexity {geometric_mean(row.perplexity for row in rows):.1f}"
    nats = [row.recall_nats for row in rows if row.recall_nats is not None]
    return f"{text} and recall {mean(nats):.2f} nats" if nats else text


def profiles_dir() -> Path:
    """The folder of all profiles, in the user's data directory."""
    return data_folder("profiles")


def profile_path(info: ModelInfo) -> Path:
    """Where a model's profile lies.

    The size comes first, so that a model of a size that nobody calibrated need not be hashed.
    """
    return profiles_dir() / f"{info.file_bytes}-{info.sha256}.json"


def shipped_profiles() -> Path:
    """The folder of the profiles that come with longctx, of the packaged models."""
    return Path(__file__).parent / "profiles"


def find_profile(info: ModelInfo) -> tuple[Profile | None, str | None]:
    """Look a model's profile up.

    Returns:
        The profile, or None; and a warning where there is one that cannot be used.
    """
    own = profiles_dir()
    folders = [
        folder
        for folder in (own, shipped_profiles())
        if any(folder.glob(f"{info.file_bytes}-*.json"))
    ]
    path = next((found for f in folders if (found := f / profile_path(info).name).exists()), None)
    if path is None:
        return None, None
    try:
        profile = Profile.model_validate_json(path.read_bytes())
    except (OSError, ValidationError) as error:
        why = first_problem(error, "the file") if isinstance(error, ValidationError) else error
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
