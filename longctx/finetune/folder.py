"""The folder of a fine-tuning: its files, and the lock that keeps a second run out of it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock, Timeout
from pydantic import ValidationError

from longctx.errors import LongCtxError, RequestError
from longctx.files import write_whole
from longctx.finetune.recipe import Recipe
from longctx.finetune.report import Measured
from longctx.planner import ContextPlan
from longctx.types import Frozen


class Settings(Frozen):
    """What a run is of: another model, text or recipe cannot go on with its checkpoint."""

    model_sha256: str
    text_sha256: str
    weights: str | None
    recipe: Recipe


@dataclass(frozen=True)
class RunFolder:
    """The files of a run, which all lie in ``path``; ``stem`` is the model's."""

    path: Path
    stem: str

    @property
    def checkpoint(self) -> Path:
        """What a run that was stopped goes on from."""
        return self.path / "checkpoint.pt"

    @property
    def adapter(self) -> Path:
        """The adapter, a GGUF."""
        return self.path / f"{self.stem}.longctx.lora.gguf"

    @property
    def peft(self) -> Path:
        """The adapter as peft's folder."""
        return self.path / f"{self.stem}.longctx.lora.peft"

    @property
    def merged(self) -> Path:
        """The model with the adapter in its weights."""
        return self.path / f"{self.stem}.longctx.gguf"

    @property
    def card(self) -> Path:
        """What was done, for people."""
        return self.path / f"{self.stem}.longctx.md"

    @property
    def profile(self) -> Path:
        """What was measured, for the planner."""
        return self.path / f"{self.stem}.longctx.profile.json"

    def trained(self, plan: ContextPlan, model_sha256: str) -> Settings:
        """What was trained here, for who only measures it.

        Args:
            plan: the window that is to be measured.
            model_sha256: of its model.

        Raises:
            RequestError: nothing was, or something else.
        """
        try:
            settings = Settings.model_validate_json((self.path / "run.json").read_bytes())
        except (OSError, ValidationError):
            settings = None
        if settings is None or not self.checkpoint.exists():
            raise RequestError(f"nothing was trained in {self.path} yet: train first, then measure")
        recipe = settings.recipe
        asked, had = (plan.method, plan.n_ctx), (recipe.method, recipe.target_ctx)
        if asked != had or settings.model_sha256 != model_sha256:
            raise RequestError(
                f"{self.path} holds a training of {'another model' if asked == had else 'another '}"
                f"{'' if asked == had else f'window, {had[0]} to {had[1]:,} tokens'}: repeat its "
                "command to measure it, or give another out"
            )
        return settings

    @contextmanager
    def locked(self, settings: Settings) -> Iterator[None]:
        """Keep the folder for one run, and for one of these settings.

        Raises:
            RequestError: another run is in it, or has left one of other settings there.
            LongCtxError: it cannot be written.
        """
        lock = FileLock(self.path / ".lock", timeout=0)
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            lock.acquire()
        except Timeout as error:
            raise RequestError(
                f"another fine-tuning is running in {self.path}; wait for it, or give another out"
            ) from error
        except OSError as error:
            raise LongCtxError(f"{self.path} cannot be used: {error}; give another out") from error
        try:
            self._keep(settings)
            yield
        finally:
            lock.release()

    def write(self, path: Path, text: str) -> None:
        """Write a file of the run.

        Raises:
            LongCtxError: it cannot be written.
        """
        try:
            write_whole(path, text.encode())
        except OSError as error:
            raise LongCtxError(
                f"{path} cannot be written: {error}. Make room, and run the same command again: "
                "what was trained is kept"
            ) from error

    def before(self) -> Measured | None:
        """What an earlier run measured before it trained; None if there is none."""
        try:
            return Measured.model_validate_json(self._before.read_bytes())
        except (OSError, ValidationError):
            return None

    def keep_before(self, measured: Measured) -> None:
        """Keep what was measured before training."""
        self.write(self._before, measured.model_dump_json(indent=1))

    @property
    def _before(self) -> Path:
        return self.path / "before.json"

    def _keep(self, settings: Settings) -> None:
        path = self.path / "run.json"
        differ = self._differences(path, settings)
        if differ and self.checkpoint.exists():
            raise RequestError(
                f"{self.path} holds another fine-tuning: {', '.join(differ)} differ. Repeat its "
                "command to go on with it, give another out, or remove the folder"
            )
        if differ:
            # Nothing was trained yet: who was refused may try again with what was advised.
            self._before.unlink(missing_ok=True)
        self.write(path, settings.model_dump_json(indent=1))

    def _differences(self, path: Path, settings: Settings) -> list[str]:
        """The names of what the folder's last run had otherwise; all where it had none."""
        try:
            had = json.loads(path.read_bytes())
        except (OSError, ValueError):
            had = {}
        wanted = settings.model_dump(mode="json")
        recipe = {**wanted.pop("recipe"), **wanted}
        said = {**had.pop("recipe", {}), **had} if isinstance(had, dict) else {}
        return [name for name, value in recipe.items() if said.get(name) != value]
