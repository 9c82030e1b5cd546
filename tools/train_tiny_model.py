"""Train the small model under tests/models on the CPU, and write it as a GGUF.

Two cores need under an hour. A run that was killed goes on from its last checkpoint (one a
minute) when it is started again; ``--export-only`` makes a GGUF of what there is by then.

    python -m tools.train_tiny_model --minutes 55

With ``--sliding`` it is a Gemma 3, half of whose layers see the last 64 tokens only:

    python -m tools.train_tiny_model --sliding --folder build/sliding --out build/tiny-sliding.gguf
"""

from __future__ import annotations

import argparse
from pathlib import Path

import torch

from tools.tiny_model.export import write_gguf
from tools.tiny_model.model import GemmaShape, Shape
from tools.tiny_model.training import Budget, Trainer, load_checkpoint

ROOT = Path(__file__).parents[1]


def main() -> None:
    """Parse the command line, train, export."""
    options = _parser().parse_args()
    if options.threads:
        torch.set_num_threads(options.threads)
    checkpoint = options.folder / "checkpoint.pt"
    if not options.export_only:
        budget = Budget(options.tokens, options.minutes)
        shape = GemmaShape() if options.sliding else Shape()
        trainer = Trainer(options.folder, budget, options.seed, shape, device=options.device)
        print(f"{sum(p.numel() for p in trainer.model.parameters()):,} parameters", flush=True)
        trainer.run()
    elif not checkpoint.exists():
        raise SystemExit(f"there is no checkpoint in {options.folder}; train first")
    options.out.parent.mkdir(parents=True, exist_ok=True)
    write_gguf(load_checkpoint(checkpoint), options.out)
    print(f"{options.out}: {options.out.stat().st_size:,} bytes")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--minutes", type=float, default=55.0, help="of training at most (55)")
    parser.add_argument(
        "--tokens", type=int, default=12_000_000, help="of training at most (12 million)"
    )
    parser.add_argument("--seed", type=int, default=0, help="of weights and sequences (0)")
    parser.add_argument("--threads", type=int, help="of torch; all cores by default")
    parser.add_argument("--sliding", action="store_true", help="a Gemma 3 instead of a Llama")
    parser.add_argument("--device", default="cpu", help="torch's: cpu, cuda, mps (cpu)")
    parser.add_argument(
        "--folder", type=Path, default=ROOT / "build" / "tiny_model", help="of the checkpoint"
    )
    parser.add_argument(
        "--out", type=Path, default=ROOT / "tests" / "models" / "tiny-longctx.gguf", help="the GGUF"
    )
    parser.add_argument(
        "--export-only", action="store_true", help="write the GGUF of the checkpoint there is"
    )
    return parser


if __name__ == "__main__":
    main()
