"""What a calibration measured of one model, and where the planner looks for it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import log
from pathlib import Path
from statistics import geometric_mean, mean
from typing import Annotated, Any, Literal, TypeAlias

from pydantic import Field, ValidationError, field_validator, model_validator

from longctx.errors import LongCtxError
from longctx.files import data_folder, hash_parts, write_whole
from longctx.model_info import Adapter, ModelInfo
from longctx.rope import Method, SelfExtendConfig
from longctx.types import Frozen, first_problem

PROFILE_VERSION: Literal[2] = 2
AdapterKeys: TypeAlias = tuple[tuple[str, float], ...]
"""Hashes and scales of LoRA adapters."""


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
    ``stretch`` numbers the stretch of text, each with facts of its own; ``is_check`` says that
    nothing was chosen on it.
    """

    window: int
    stretch: int = 0
    is_check: bool = False
    method: Method | Literal["self-extend"]
    parameters: ProfileParameters
    perplexity: float
    recall_nats: float | None = None
    seconds: float

    @property
    def loss(self) -> float:
        """What is minimised, in nats: of prose, plus of a fact."""
        return log(self.perplexity) + (self.recall_nats or 0.0)


class Check(Frozen):
    """How a choice did against the formula on stretches of text that it was not chosen on.

    ``gain_nats`` is the mean of the formula's loss less the choice's, ``error_nats`` its standard
    error. ``is_other_text`` says that no trial read the text of the check; a text of less than two
    windows has no such part, and its stretches overlap.
    """

    gain_nats: float
    error_nats: float
    n_stretches: int
    is_other_text: bool = True

    @property
    def is_won(self) -> bool:
        """Whether the gain is more than twice its error."""
        return self.gain_nats > 2 * self.error_nats

    def __str__(self) -> str:
        return f"{self.gain_nats:+.3f} ± {self.error_nats:.3f} nats over {self.n_stretches}"


class Choice(Frozen):
    """What serves a model best at one window, in tokens.

    ``check`` is of what beat the formula in the search, whether or not it did so again; None where
    nothing did, or where the check was not made. What did not win it is not chosen.
    """

    window: int = Field(gt=0)
    method: Method | Literal["self-extend"]
    parameters: ProfileParameters = ProfileParameters()
    check: Check | None = None


class Profile(Frozen):
    """The best method for one model at each window that was measured.

    ``choices`` are by window, smallest first; ``results`` has one row a trial; ``text_sha256``
    says on which text, ``adapter_sha256`` with which LoRA adapter of
    :func:`longctx.finetune.extend`, without which it says nothing. ``measured_with`` are the hashes
    and scales of other LoRA adapters that were on. A profile of version 1, which had a choice for
    its largest window alone, is read as that choice.
    """

    version: Literal[2] = PROFILE_VERSION
    model_sha256: str = Field(pattern="^[0-9a-f]{64}$")
    choices: tuple[Choice, ...] = Field(min_length=1)
    results: tuple[TrialResult, ...] = ()
    text_sha256: str | None = None
    adapter_sha256: str | None = Field(default=None, pattern="^[0-9a-f]{64}$")
    measured_with: AdapterKeys = ()

    @model_validator(mode="before")
    @classmethod
    def _from_version_1(cls, value: Any) -> Any:
        if not isinstance(value, Mapping) or "choices" in value or "method" not in value:
            return value
        fields = dict(value)
        names = [name for name in ("window", "method", "parameters") if name in fields]
        fields["choices"] = [{name: fields.pop(name) for name in names}]
        fields["version"] = PROFILE_VERSION if fields.get("version", 1) == 1 else fields["version"]
        return fields

    @field_validator("choices")
    @classmethod
    def _in_order(cls, choices: tuple[Choice, ...]) -> tuple[Choice, ...]:
        windows = [choice.window for choice in choices]
        if windows != sorted(set(windows)):
            raise ValueError("the windows must rise, each with one choice")
        return choices

    @property
    def window(self) -> int:
        """The largest window in tokens for which something was chosen."""
        return self.choices[-1].window

    @property
    def method(self) -> Method | Literal["self-extend"]:
        """That of the largest window."""
        return self.choices[-1].method

    @property
    def parameters(self) -> ProfileParameters:
        """Those of the largest window."""
        return self.choices[-1].parameters

    def choice(self, n_ctx: int) -> Choice | None:
        """What was chosen for a window: of those measured the smallest that holds ``n_ctx`` tokens.

        One of twice the size or more says nothing of so small a window: then it is the largest of
        those below, or None where there is none. So it is where all are passed.
        """
        below = None
        for choice in self.choices:
            if choice.window >= n_ctx:
                return choice if choice.window < 2 * n_ctx else below
            below = choice
        return below

    def measured(self, choice: Choice) -> str | None:
        """What was measured of a choice, and of a formula beside it.

        On the stretches of the check where it was made. Beside NTK's formula where that was
        measured too, else beside what the check compared it with, or its own formula.
        """
        is_checked = choice.check is not None
        rows = [row for row in self.results if row.window == choice.window]
        rows = [row for row in rows if row.is_check == is_checked]
        mine = {row.stretch: row for row in rows if _is(row, choice)}
        if not mine:
            return None
        others = [row for row in rows if not _is(row, choice)]
        by_ntk = [row for row in others if row.method == "ntk"]
        by_own = [row for row in others if row.method == choice.method or row.is_check]
        is_kept = choice.check is not None and not choice.check.is_won
        name_of_own = "the best other that was found" if is_kept else "the formula"
        for rivals, name in ((by_ntk, "NTK's formula"), (by_own, name_of_own)):
            if rivals:
                first = rivals[0]  # a calibration tries the formulas first
                plain = {r.stretch: r for r in rivals if _same(r, first) and r.stretch in mine}
                both = _figures([mine[stretch] for stretch in plain])
                against = f"{_figures(list(plain.values()))} by {name}"
                return f"{both} at {choice.window:,} tokens against {against}"
        return f"{_figures(list(mine.values()))} at {choice.window:,} tokens"

    def n_stretches(self, choice: Choice) -> int:
        """Stretches of text over which a choice was made."""
        return sum(
            _is(row, choice) and row.window == choice.window and not row.is_check
            for row in self.results
        )

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


def _is(row: TrialResult, choice: Choice) -> bool:
    return (row.method, row.parameters) == (choice.method, choice.parameters)


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


def adapter_keys(adapters: Sequence[Adapter]) -> AdapterKeys:
    """Which adapters change anything, and how much: their hashes and scales."""
    return tuple((adapter.sha256, adapter.scale) for adapter in adapters if adapter.scale)


def profile_path(info: ModelInfo, adapters: AdapterKeys = ()) -> Path:
    """Where a model's profile lies, or that of a model with adapters.

    The size comes first, so that a model of a size that nobody calibrated need not be hashed.
    """
    with_them = f"-{hash_parts([repr(adapters).encode()])[:16]}" if adapters else ""
    return profiles_dir() / f"{info.file_bytes}-{info.sha256}{with_them}.json"


def shipped_profiles() -> Path:
    """The folder of the profiles that come with longctx, of the packaged models."""
    return Path(__file__).parent / "profiles"


def find_profile(
    info: ModelInfo, adapters: Sequence[Adapter] = ()
) -> tuple[Profile | None, str | None]:
    """Look a model's profile up: one that was measured with these adapters, else without any.

    Returns:
        The profile, or None; and a warning where there is one that cannot be used.
    """
    own = profiles_dir()
    folders = [
        folder
        for folder in (own, shipped_profiles())
        if any(folder.glob(f"{info.file_bytes}-*.json"))
    ]
    if not folders:
        return None, None  # adapters need not be hashed, either
    keys = adapter_keys(adapters)
    names = (profile_path(info, keys).name, profile_path(info).name)
    path = next((found for n in names for f in folders if (found := f / n).exists()), None)
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
    if profile.measured_with not in ((), keys):
        return None, (
            f"The calibration profile {path} is ignored: it was measured with other LoRA adapters. "
            "Calibrate again."
        )
    if profile.model_sha256 != info.sha256:
        return None, (
            f"The calibration profile {path} is ignored: it was measured on another model "
            f"({profile.model_sha256[:12]}…, this one is {info.sha256[:12]}…). Calibrate again."
        )
    return profile, None
