"""Memory that calls take beyond the cache, in a process of their own."""

from __future__ import annotations

import subprocess
import sys

import pytest

from longctx._native import supports_gpu_offload
from tests.conftest import TinyGguf
from tests.support.thorough import thorough

N_VOCAB = 131_072
SCORE = """
import sys
import psutil
from longctx import LongContextLLM

with LongContextLLM(sys.argv[1], 1024, reserve_output=16, n_threads=1) as llm:
    session = llm.session()
    session.feed([5] * 200)
    before = psutil.Process().memory_info().rss
    assert len(session.nll([6, 7] * 150)) == 300
    print((psutil.Process().memory_info().rss - before) / 2**20)
"""


@thorough
def test_scoring_by_hand_with_a_large_vocabulary(tiny_gguf: TinyGguf) -> None:
    """Logits of 131,072 tokens are half a MiB a row: as many are held as 16 MiB take, twice."""
    model = tiny_gguf("llama", n_vocab_at_least=N_VOCAB)
    command = [sys.executable, "-c", SCORE, str(model)]
    run = subprocess.run(command, capture_output=True, text=True, check=True)
    assert float(run.stdout) < 80


BUSY = """
import sys
from pydoc_data.topics import topics
import psutil
import longctx.server.app
from longctx import LongContextLLM, plan_context

# No more than that: where the limit bears it, short answers get streams of as much as a window.
limit = plan_context(sys.argv[1], 8192, reserve_output=16).memory.resident_bytes
with LongContextLLM(sys.argv[1], 8192, reserve_output=16, n_threads=1, memory_limit=limit) as llm:
    texts = [topics[name][:600] for name in sorted(topics) if len(topics[name]) > 600][:7]
    llm.chat_batch([[{"role": "user", "content": text}] for text in texts], max_tokens=4)
    print(psutil.Process().memory_info().rss, llm.plan.memory.resident_bytes)
"""


@thorough
@pytest.mark.skipif(supports_gpu_offload(), reason="a GPU's own libraries take more, as they like")
def test_a_busy_process_holds_what_its_plan_says(tiny_gguf: TinyGguf) -> None:
    """Python, a cache, and the small one in which prompts are prefilled beside answers."""
    model = tiny_gguf("llama", n_layer=8, n_head_kv=8, n_head=8, n_embd=256, n_ctx_train=8192)
    command = [sys.executable, "-c", BUSY, str(model)]
    run = subprocess.run(command, capture_output=True, text=True, check=True)
    resident, planned = map(int, run.stdout.split())
    assert resident == pytest.approx(planned, rel=0.15)
