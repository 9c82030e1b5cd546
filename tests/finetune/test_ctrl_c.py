"""Ctrl-C at any moment of a training: it is obeyed, and never in the middle of a step."""

from __future__ import annotations

import signal
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch

from longctx.finetune import extend
from longctx.finetune.ctrl_c import CtrlC
from tests.finetune.small import FEW, MODEL
from tests.support.thorough import thorough

pytestmark = thorough

press = partial(signal.raise_signal, signal.SIGINT)


@pytest.fixture(autouse=True)
def handler() -> Iterator[None]:
    """Python's own, which is not there in what a shell started in the background."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    signal.signal(signal.SIGINT, before)


@pytest.mark.skipif(sys.platform == "win32", reason="Ctrl-C is no signal that can be sent there")
@pytest.mark.parametrize("where", ["backward", "optimizer", "progress", "first backward"])
def test_whole_steps_are_kept(tmp_path: Path, where: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Those before it, and the one whose weights were just being moved."""
    pressed: list[int] = []
    said: list[str] = []

    def pressing(function: Any, at: int) -> Any:
        def call(*args: Any, **kwargs: Any) -> Any:
            pressed.append(1)
            if len(pressed) == at:
                press()
            return function(*args, **kwargs)

        return call

    options: dict[str, Any] = {"out": tmp_path / "made", "announce": said.append}
    if where == "progress":
        options["on_progress"] = pressing(lambda _: None, 1)
    elif where == "optimizer":
        adam = torch.optim.AdamW
        monkeypatch.setattr(adam, "step", pressing(adam.step, 1))
    else:
        backward = pressing(torch.Tensor.backward, 1)
        options["on_progress"] = lambda _: monkeypatch.setattr(torch.Tensor, "backward", backward)
        if "first" in where:
            monkeypatch.setattr(torch.Tensor, "backward", backward)
    with pytest.raises(KeyboardInterrupt):
        extend(MODEL, 1024, **{**FEW, "tokens": 64 * 256, **options})
    kept = "Nothing" if where == "first backward" else "What was trained is kept, to step 1 "
    assert said[-1].startswith(kept)


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_one_that_python_loses_is_obeyed_later() -> None:
    """Raised in a finalizer it is only printed."""

    class Gone:
        def __del__(self) -> None:
            press()

    passed: list[bool] = []
    ctrl_c = CtrlC()

    def compute() -> None:
        with ctrl_c.at_once():
            thing = Gone()
            del thing
            passed.append(True)

    with ctrl_c.held(), pytest.raises(KeyboardInterrupt):
        compute()
    assert passed


def test_a_second_one_is_obeyed_at_once() -> None:
    """Of whatever hangs."""
    ctrl_c = CtrlC()
    with ctrl_c.held():
        press()
        with pytest.raises(KeyboardInterrupt):
            press()
        with pytest.raises(KeyboardInterrupt):
            ctrl_c.check()
