"""What a native abort says before the process ends."""

from __future__ import annotations

import subprocess
import sys

CODE = """
import ctypes
from longctx._native.ggml import ggml_function
from longctx._native.library import lib

lib.llama_model_load_from_file(b"nowhere.gguf", lib.llama_model_default_params())
abort = ggml_function("ggml_abort", [ctypes.c_char_p, ctypes.c_int, ctypes.c_char_p], None)
import longctx
abort(b"some-file.cu", 109, b"a failed assertion")
"""


def test_it_says_why_and_what_may_help() -> None:
    """The process is gone, with the place, what llama.cpp logged before, and ways out."""
    done = subprocess.run([sys.executable, "-c", CODE], capture_output=True, text=True, check=False)
    assert done.returncode not in (0, 1)
    assert "llama.cpp ended this process: some-file.cu:109: a failed assertion" in done.stderr
    assert "nowhere.gguf" in done.stderr.partition("Before that, it said: ")[2]
    assert "--gpu-layers 0" in done.stderr
