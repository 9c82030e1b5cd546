"""Growing a model with sliding-window layers past its trained window: Gemma 3 270M.

Only the global layers' keys move (docs/architectures.md). One text with numbered facts in it is
prefilled to where Self-Extend would begin, which every way computes alike, and saved; each way then
reads on from there to the mark. As in ``elastic_study.py`` twenty facts are asked for and the 512
tokens before the mark's end are scored. The control reads only the last tokens, in a fixed window.

    python benchmarks/sliding_layers.py gemma-3-270m.gguf [--mark 40960] [--ways self-extend none]
"""

from __future__ import annotations

import argparse
import tempfile
import time
from math import exp
from pathlib import Path

import numpy as np
from elastic_study import MARGIN, SCORED, build, recall
from machine import save

from longctx import LongContextLLM

WAYS = {"self-extend": "elastic", "yarn": "elastic", "ntk": "elastic", "none": "fixed"}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model")
    parser.add_argument("--mark", type=int, default=40_960)
    parser.add_argument("--ways", nargs="*", default=["self-extend", "none", "yarn"], choices=WAYS)
    parser.add_argument("--control", type=int, default=8192, help="tokens that the control reads")
    options = parser.parse_args()
    figures = {"control": control(options.model, options.mark, options.control)}
    print(figures, flush=True)
    with tempfile.TemporaryDirectory() as folder:
        prefix = Path(folder) / "prefix.session"
        for way in options.ways:
            figures[way] = measured(options.model, way, options.mark, prefix)
            print(way, figures[way], flush=True)
    save("sliding_layers", {"mark": options.mark, "ways": figures})


def control(model: str, mark: int, n_ctx: int) -> dict[str, float]:
    """Perplexity before the mark with nothing but the last tokens before it."""
    with LongContextLLM(model, n_ctx, reserve_output=16) as llm:
        ids, _ = build(llm, [mark], every=mark // 80)
        begin = mark - MARGIN
        session = llm.session()
        session.feed(ids[begin + SCORED - n_ctx : begin])
        nll = session.nll(ids[begin : begin + SCORED])
        return {"n_ctx": n_ctx, "perplexity": exp(float(nll.mean()))}


def measured(model: str, way: str, mark: int, prefix: Path) -> dict[str, float]:
    """Perplexity before the mark, nats a digit of the facts, and what it took."""
    with LongContextLLM(model, mark, method=way, window=WAYS[way], reserve_output=16) as llm:
        ids, facts = build(llm, [mark], every=mark // 80)
        session = llm.session()
        if not prefix.exists():
            session.feed(ids[: llm.info.n_ctx_train * 3 // 4])
            session.save(prefix)
        session.load(prefix)
        started = time.monotonic()
        session.feed(ids[session.n_tokens : mark - MARGIN])
        prefill_s = time.monotonic() - started
        nats = recall(session, llm, facts)
        nll = session.nll(ids[session.n_tokens : session.n_tokens + SCORED])
        return {
            "perplexity": exp(float(nll.mean())),
            "recall_nats": float(np.mean(nats)),
            "recall_oldest_half": float(np.mean(nats[:10])),
            "recall_newest_half": float(np.mean(nats[10:])),
            "prefill_s": prefill_s,
            "rescale_s": session.rescale_s,
            "prefilled_again": session.prefilled_again,
        }


if __name__ == "__main__":
    main()
