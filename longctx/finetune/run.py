"""One fine-tuning, from its model to its files."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from longctx._native import Model
from longctx.errors import RequestError
from longctx.evaluate import python_reference
from longctx.files import hash_parts
from longctx.finetune.adapter_file import trained_for, write_adapter, write_merged
from longctx.finetune.budget import Budget, spoken
from longctx.finetune.card import card
from longctx.finetune.checkpoint import Checkpoint
from longctx.finetune.device import Device
from longctx.finetune.folder import RunFolder, Settings
from longctx.finetune.lean import checkpoint_layers, fewer, made_lean, parts_for
from longctx.finetune.loading import check_loadable, check_same, load
from longctx.finetune.lora import alpha, gguf_pairs, with_lora
from longctx.finetune.measuring import as_trial, measure
from longctx.finetune.mixture import Mixture
from longctx.finetune.peft_folder import write_peft_folder
from longctx.finetune.prose import encoded, packaged_prose
from longctx.finetune.recipe import Measuring, Recipe
from longctx.finetune.report import FinetuneProgress, FinetuneResult, Measured
from longctx.finetune.torch_model import TorchModel
from longctx.finetune.training import Trainer
from longctx.llm import LongContextLLM
from longctx.planner import Choice, ContextPlan, Profile, plan_context
from longctx.tokens import ModelTokenizer

_COMPARED = 128  # tokens on which torch and llama.cpp must agree
_WINDOWS_READ = 4  # two by the measurement before, and two by that after


class Run:
    """A fine-tuning in its folder.

    Args:
        plan: the window that is taught, without an adapter.
        recipe: how.
        device: where.
        out: the folder.
        weights: a folder of transformers to take the weights from; None is the GGUF.
        text: to train on; None is the packaged prose.
        n_threads: of torch and llama.cpp.
        announce: called with a line at each stage.

    Raises:
        UnsupportedModelError: the model cannot be fine-tuned.
    """

    def __init__(
        self,
        plan: ContextPlan,
        recipe: Recipe,
        device: Device,
        *,
        out: Path,
        weights: Path | None,
        text: str | None,
        n_threads: int | None,
        announce: Callable[[str], None],
    ) -> None:
        check_loadable(plan.info, weights)
        self._plan, self._info, self._recipe = plan, plan.info, recipe
        self._device, self._weights, self._text = device, weights, text
        self._n_threads = n_threads
        self._announce = announce
        self._files = RunFolder(out, plan.info.path.stem)
        if n_threads is not None:
            torch.set_num_threads(n_threads)

    def finish(
        self,
        budget_s: float | None,
        *,
        merge: bool,
        measured: Measuring,
        on_progress: Callable[[FinetuneProgress], None] | None,
    ) -> FinetuneResult:
        """Do what is left to do.

        Arguments and errors as :func:`longctx.finetune.extend`.
        """
        if measured == "only":
            settings = self._files.trained(self._plan, self._info.sha256)
            self._recipe = settings.recipe
            with self._files.locked(settings):
                return self._written(self._before(), merge)
        text = packaged_prose() if self._text is None else self._text
        settings = Settings(
            model_sha256=self._info.sha256,
            text_sha256=hash_parts([text.encode()]),
            weights=None if self._weights is None else str(self._weights),
            recipe=self._recipe,
        )
        with (
            self._files.locked(settings),
            closing(Model(self._info.path, vocab_only=True)) as vocabulary,
        ):
            tokenizer = ModelTokenizer(vocabulary)
            prose = encoded(tokenizer, text)
            try:
                before = self._trained(
                    tokenizer, prose, budget_s, measured=measured, on_progress=on_progress
                )
            except KeyboardInterrupt:
                self._say_what_is_kept()
                raise
            return self._written(before, merge)

    def _say_what_is_kept(self) -> None:
        """Behind a Ctrl-C: the adapter is written as far as it came, to be tried."""
        if not self._files.checkpoint.exists():
            self._announce("Nothing was trained yet; the same command begins anew.")
            return
        done = self._adapter()
        self._announce(
            f"What was trained is kept, to step {done.step:,} and {done.tokens:,} tokens; "
            "the same command goes on with it."
        )

    def _trained(
        self,
        tokenizer: ModelTokenizer,
        prose: list[int],
        budget_s: float | None,
        *,
        measured: bool,
        on_progress: Callable[[FinetuneProgress], None] | None,
    ) -> Measured | None:
        """Train what is left to train; what was measured before, where it is wanted."""
        mixture, held_out, compared = self._texts(tokenizer, prose)
        nll, token_s = self._scored(compared)
        before = None
        if measured:
            self._check_measuring(tokenizer, budget_s, token_s)
            before = self._before()
        self._announce(f"Loading {self._info.name} into torch on {self._device.name}.")
        model = load(self._info, self._plan.rope, self._weights, self._device.name)
        check_same(model, self._info, compared, nll)
        model = self._prepared(model)
        longest, step = self._recipe.sequence_tokens, self._recipe.step_tokens
        parts = parts_for(model, self._info, longest, step)
        while True:
            if parts.checkpointed:
                checkpoint_layers(model.module)
            trainer = Trainer(model, mixture, held_out, self._recipe, parts, self._files.checkpoint)
            left = _left(budget_s, before, trainer.seconds)
            self._announce("Training." if left is None else f"Training for {spoken(left)} at most.")
            try:
                trainer.run(Budget(left, self._recipe.tokens), on_progress)
            except torch.OutOfMemoryError:
                trainer.save()
                parts = fewer(parts, longest)
                self._announce(f"The GPU's memory is full; {parts.n_tokens:,} tokens go together.")
            else:
                return before
            torch.cuda.empty_cache()

    def _prepared(self, model: TorchModel) -> TorchModel:
        """The model with its LoRA matrices, in the type that the device is fast in."""
        module = with_lora(model.module, self._recipe.rank, self._recipe.seed)
        if self._device.dtype == torch.bfloat16:
            made_lean(module)
        return TorchModel(module, model.inv_freq, self._device.dtype)

    def _texts(
        self, tokenizer: ModelTokenizer, prose: list[int]
    ) -> tuple[Mixture, Mixture | None, list[int]]:
        """What is trained on, what of it is held out, and the beginning of it, on which torch and
        llama.cpp must agree."""
        recipe, far = self._recipe, self._plan.self_extend
        bos = [tokenizer.bos] if tokenizer.adds_bos and tokenizer.bos is not None else []
        n_held = max(len(prose) // 50, 2 * recipe.sequence_tokens)
        held_out = None
        if n_held <= len(prose) // 10:
            held_out = Mixture(recipe, far, prose[-n_held:], tokenizer, bos)
            prose = prose[:-n_held]
        n = min(_COMPARED, self._info.n_ctx_train // 2)
        mixture = Mixture(recipe, far, prose, tokenizer, bos)
        return mixture, held_out, [*bos, *prose[: n - len(bos)]]

    def _scored(self, ids: list[int]) -> tuple[NDArray[np.float32], float]:
        """llama.cpp's likelihoods of ids[1:] in the plan's window, and its seconds a token."""
        with (
            LongContextLLM(self._info.path, plan=self._plan, n_threads=self._n_threads) as llm,
            llm.session() as session,
        ):
            session.feed(ids[:1])
            started = time.monotonic()
            nll = session.nll(ids[1:])
            return nll, (time.monotonic() - started) / len(ids)

    def _check_measuring(
        self, tokenizer: ModelTokenizer, budget_s: float | None, token_s: float
    ) -> None:
        """Refuse what measuring alone would use up, or cannot be measured, before it begins."""
        n_ctx = self._plan.n_ctx
        if n_ctx > (n := len(tokenizer.encode(python_reference()))):
            raise RequestError(
                f"{n_ctx:,} tokens are more than the {n:,} of the Python reference, on which "
                "finetune measures: ask for a smaller window, or do not measure (measure=False)"
            )
        least = _WINDOWS_READ * n_ctx * token_s
        if budget_s is not None and least >= budget_s and self._files.before() is None:
            raise RequestError(
                f"measuring before and after takes {spoken(least)} at least, and the budget is "
                f"{spoken(budget_s)}: give a larger budget, or do not measure (measure=False)"
            )

    def _before(self) -> Measured:
        found = self._files.before()
        if found is None:
            self._announce("Measuring what the model does without training.")
            found = measure(self._plan, seed=self._recipe.seed, n_threads=self._n_threads)
            self._files.keep_before(found)
        return found

    def _written(self, before: Measured | None, merge: bool) -> FinetuneResult:
        """Write the adapter, measure it, and write what was measured."""
        files, recipe, info = self._files, self._recipe, self._info
        trained = trained_for(self._plan)
        done = self._adapter()
        if merge:
            pairs = gguf_pairs(done.weights, info)
            write_merged(files.merged, pairs, alpha(recipe.rank) / recipe.rank, info)
        after = None
        if before is not None:
            self._announce("Measuring what it does with the adapter.")
            plan = plan_context(info, self._plan.n_ctx, adapters=[files.adapter], reserve_output=0)
            after = measure(plan, seed=recipe.seed, n_threads=self._n_threads)
            self._profile(plan, after).save(files.profile)
        result = FinetuneResult(
            adapter=files.adapter,
            card=files.card,
            profile=files.profile if after else None,
            merged=files.merged if merge else None,
            recipe=recipe,
            steps=done.step,
            tokens=done.tokens,
            seconds=done.seconds,
            loss=math.nan if done.loss is None else done.loss,
            text_tokens=done.text_tokens,
            machine=done.machine,
            held_out=tuple(done.held_out),
            before=before,
            after=after,
        )
        files.write(files.card, card(result, trained))
        return result

    def _adapter(self) -> Checkpoint:
        """Write the adapter as it is in the checkpoint."""
        done = Checkpoint.read(self._files.checkpoint, torch.device("cpu"))
        rank = self._recipe.rank
        write_peft_folder(self._files.peft, done.weights, rank, self._info.name)
        pairs = gguf_pairs(done.weights, self._info)
        trained = trained_for(self._plan)
        write_adapter(self._files.adapter, pairs, alpha(rank), self._info, trained)
        return done

    def _profile(self, plan: ContextPlan, after: Measured) -> Profile:
        row = as_trial(plan, after)
        return Profile(
            model_sha256=self._info.sha256,
            choices=(Choice(window=row.window, method=row.method, parameters=row.parameters),),
            results=(row,),
            text_sha256=hash_parts([python_reference().encode()]),
            adapter_sha256=plan.adapters[0].sha256,
        )


def _left(budget_s: float | None, before: Measured | None, trained_s: float) -> float | None:
    """Seconds of the budget for training, when it is measured after as it was before."""
    if budget_s is None:
        return None
    left = budget_s - (2 * before.seconds if before else 0.0)
    if left <= 0 and not trained_s:
        took = f"measuring took {spoken(before.seconds)}, and will again; " if before else ""
        raise RequestError(
            f"{took}a budget of {spoken(budget_s)} leaves nothing to train in: give a larger one"
        )
    return max(0.0, left)
