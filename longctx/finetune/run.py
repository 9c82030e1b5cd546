"""One fine-tuning, from its model to its files."""

from __future__ import annotations

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
from longctx.finetune.folder import RunFolder, Settings
from longctx.finetune.loading import check_loadable, check_same, load
from longctx.finetune.lora import alpha, gguf_pairs
from longctx.finetune.measuring import as_trial, measure
from longctx.finetune.mixture import Mixture
from longctx.finetune.prose import packaged_prose
from longctx.finetune.recipe import Recipe
from longctx.finetune.report import FinetuneProgress, FinetuneResult, Measured
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
        *,
        out: Path,
        weights: Path | None,
        text: str | None,
        n_threads: int | None,
        announce: Callable[[str], None],
    ) -> None:
        check_loadable(plan.info, weights)
        self._plan, self._info, self._recipe = plan, plan.info, recipe
        self._weights, self._text = weights, text
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
        measured: bool,
        on_progress: Callable[[FinetuneProgress], None] | None,
    ) -> FinetuneResult:
        """Do what is left to do.

        Arguments and errors as :func:`longctx.finetune.extend`.
        """
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
            mixture, compared = self._texts(tokenizer, tokenizer.encode(text))
            nll, token_s = self._scored(compared)
            before = None
            if measured:
                self._check_measuring(tokenizer, budget_s, token_s)
                before = self._before()
            self._announce(f"Loading {self._info.name} into torch.")
            model = load(self._info, self._plan.rope, self._weights)
            check_same(model, self._info, compared, nll)
            left = _left(budget_s, before)
            self._announce("Training." if left is None else f"Training for {spoken(left)} at most.")
            trainer = Trainer(model, mixture, self._recipe, self._files.checkpoint)
            trainer.run(Budget(left, self._recipe.tokens), on_progress)
            return self._written(trainer, before, merge)

    def _texts(self, tokenizer: ModelTokenizer, prose: list[int]) -> tuple[Mixture, list[int]]:
        """What is trained on, and the beginning of it, on which torch and llama.cpp must agree."""
        bos = [tokenizer.bos] if tokenizer.adds_bos and tokenizer.bos is not None else []
        mixture = Mixture(self._recipe, self._plan.self_extend, prose, tokenizer, bos)
        n = min(_COMPARED, self._info.n_ctx_train // 2)
        return mixture, [*bos, *prose[: n - len(bos)]]

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

    def _written(self, trainer: Trainer, before: Measured | None, merge: bool) -> FinetuneResult:
        """Write the adapter, measure it, and write what was measured."""
        files, recipe, info = self._files, self._recipe, self._info
        trained = trained_for(self._plan)
        pairs = gguf_pairs(trainer.weights, info)
        write_adapter(files.adapter, pairs, alpha(recipe.rank), info, trained)
        if merge:
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
            steps=trainer.step,
            tokens=trainer.tokens,
            seconds=trainer.seconds,
            loss=trainer.loss,
            before=before,
            after=after,
        )
        files.write(files.card, card(result, trained))
        return result

    def _profile(self, plan: ContextPlan, after: Measured) -> Profile:
        row = as_trial(plan, after)
        return Profile(
            model_sha256=self._info.sha256,
            choices=(Choice(window=row.window, method=row.method, parameters=row.parameters),),
            results=(row,),
            text_sha256=hash_parts([python_reference().encode()]),
            adapter_sha256=plan.adapters[0].sha256,
        )


def _left(budget_s: float | None, before: Measured | None) -> float | None:
    """Seconds of the budget for training, when it is measured after as it was before."""
    if budget_s is None:
        return None
    left = budget_s - (2 * before.seconds if before else 0.0)
    if left <= 0:
        took = f"measuring took {spoken(before.seconds)}, and will again; " if before else ""
        raise RequestError(
            f"{took}a budget of {spoken(budget_s)} leaves nothing to train in: give a larger one"
        )
    return left
