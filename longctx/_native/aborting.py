"""What llama.cpp said before it ends the process: told on stderr, with what may help.

A failed assertion inside it, a fault of a GPU's driver among them, calls abort(): no exception can
be made of that. But the reason stands in its log, which we keep and which would die with us.
"""

from __future__ import annotations

import ctypes
import os

from longctx._native.ggml import ggml_function
from longctx._native.library import last_errors
from longctx.errors import BackendError

_HELP = """\
This is a fault in llama.cpp or a driver, or a model that this build cannot run; please report it
with the lines above. What may help: --gpu-layers 0 (n_gpu_layers=0), which leaves the GPU out;
--flash-attention off; GGML_CUDA_DISABLE_GRAPHS=1 in the environment, on NVIDIA; another
llama-cpp-python.
"""
_STDERR = 2


def tell_aborts() -> None:
    """From now on, say on stderr why llama.cpp ends the process; where it cannot be asked to, it
    prints what it prints."""
    try:
        set_callback = ggml_function("ggml_set_abort_callback", [ctypes.c_void_p], ctypes.c_void_p)
    except (BackendError, OSError):
        return
    set_callback(_on_abort)


@ctypes.CFUNCTYPE(None, ctypes.c_char_p)  # type: ignore[untyped-decorator]  # a ctypes prototype
def _on_abort(message: bytes) -> None:
    said = f"""\
longctx: llama.cpp ended this process: {message.decode("utf-8", "replace")}
Before that, it said: {last_errors()}
{_HELP}"""
    # Not sys.stderr: a stream of Python may be closed, replaced or locked by another thread.
    os.write(_STDERR, said.encode())
