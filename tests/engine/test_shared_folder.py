"""Several processes with one `cache_dir`, in which there is room for two sessions."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from longctx import LongContextLLM
from tests.models import TINY
from tests.support.thorough import thorough

# Of what they go on with the model is certain, in whatever batches they are read.
TEXTS = [
    f"Room {i} has a door and a window. " * 118
    + f"The code of room {i} is {code}. " * 4
    + f"The code of room {i} is"
    for i, code in enumerate((4821, 9035, 2764))
]
ASK = """
import json, sys
from longctx import LongContextLLM
from longctx.engine import store
store.MAX_BYTES = 9 << 20
texts, order = json.loads(sys.argv[2]), json.loads(sys.argv[3])
with LongContextLLM(
    sys.argv[1], 2048, reserve_output=16, n_threads=1, cache_dir=sys.argv[4]
) as llm:
    print(json.dumps([llm.generate(texts[i], max_tokens=6, temperature=0).text for i in order]))
"""


def _asking(order: list[int], folder: Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", ASK, str(TINY), json.dumps(TEXTS), json.dumps(order), str(folder)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


@thorough
def test_processes_drop_and_load_each_others_sessions(tmp_path: Path) -> None:
    """None fails, nothing damaged is found, and the answers are those without a folder."""
    orders = [[0, 1, 2, 0, 1, 2], [2, 0, 1, 2, 0, 1]]
    working = [_asking(order, tmp_path) for order in orders]
    with LongContextLLM(TINY, 2048, reserve_output=16, n_threads=1) as llm:
        alone = [llm.generate(text, max_tokens=6, temperature=0).text for text in TEXTS]
    for order, process in zip(orders, working, strict=True):
        said, errors = process.communicate(timeout=200)
        assert process.returncode == 0, errors
        assert json.loads(said) == [alone[i] for i in order]
        assert errors == ""
    assert 1 <= len(list(tmp_path.rglob("*.session"))) <= 2
    assert not list(tmp_path.rglob("*.longctx-part"))
