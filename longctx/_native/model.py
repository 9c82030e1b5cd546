"""A loaded model: weights or vocabulary, metadata, tokens."""

from __future__ import annotations

import ctypes
import os
import re
from collections.abc import Mapping, Sequence
from enum import IntFlag
from pathlib import Path
from typing import Any

from longctx._native.handle import Borrowed, NativeHandle
from longctx._native.library import build_id, last_errors, lib
from longctx._native.model_params import ModelParams
from longctx.errors import (
    BackendError,
    LongCtxError,
    ModelFileError,
    RequestError,
    UnsupportedModelError,
)

_ROPE_TYPES = {-1: "none", 0: "norm", 2: "neox", 8: "mrope", 24: "mrope", 40: "mrope"}
_OVERRIDE_INT, _OVERRIDE_FLOAT, _OVERRIDE_BOOL, _OVERRIDE_STR = range(4)


class TokenAttr(IntFlag):
    """llama.cpp's ``llama_token_attr`` bits."""

    UNKNOWN = 1
    UNUSED = 2
    NORMAL = 4
    CONTROL = 8
    USER_DEFINED = 16
    BYTE = 32
    NORMALIZED = 64
    LSTRIP = 128
    RSTRIP = 256
    SINGLE_WORD = 512


class Model:
    """One GGUF file, loaded by llama.cpp.

    Args:
        path: the file; it must exist (check it before: llama.cpp's own messages are poor).
        vocab_only: load metadata and vocabulary, no weights. The getters that read
            hyper-parameters abort the process then, so they are refused here.
        params: where the weights lie; by default where llama.cpp would put them.
        overrides: metadata keys to replace, e.g. ``{"llama.rope.scaling.attn_factor": 0.9}``.
        parts: more files whose tensors belong to the model; the metadata must count them
            (``split.count``, ``split.tensors.count``).

    Raises:
        ModelFileError: llama.cpp cannot load the file.
        UnsupportedModelError: it does not know the architecture or the tokenizer.
        BackendError: there is no memory for it.
    """

    def __init__(
        self,
        path: Path,
        *,
        vocab_only: bool = False,
        params: ModelParams | None = None,
        overrides: Mapping[str, float | int | bool | str] | None = None,
        parts: Sequence[Path] = (),
    ) -> None:
        params = params or ModelParams(devices=() if vocab_only else None)
        native = lib.llama_model_default_params()
        native.vocab_only = vocab_only
        held = params.apply(native)
        self._overrides = _override_array(overrides or {})
        last_errors()  # of what was before
        if overrides:
            native.kv_overrides = self._overrides
        if parts:
            names = [os.fsencode(part) for part in (path, *parts)]
            array = (ctypes.c_char_p * len(names))(*names)
            pointer = lib.llama_model_load_from_splits(array, len(names), native)
        else:
            pointer = lib.llama_model_load_from_file(os.fsencode(path), native)
        del held
        if not pointer:
            raise _cannot_load(path, last_errors())
        self._handle: NativeHandle | None = NativeHandle(pointer, lib.llama_model_free)
        self.path = path
        self.vocab_only = vocab_only
        self._vocab_pointer = lib.llama_model_get_vocab(self._handle)
        self.n_vocab = int(lib.llama_vocab_n_tokens(self._vocab))
        self._pieces: tuple[dict[int, bytes], dict[int, bytes]] = {}, {}
        self._ends: dict[int, bool] = {}

    def close(self) -> None:
        """Let go of the weights. Idempotent.

        They are freed when no context stands on them any more and no thread is inside a call.
        """
        self._handle = None

    @property
    def handle(self) -> NativeHandle:
        """The ``llama_model *``.

        Raises:
            BackendError: the model is closed.
        """
        handle = self._handle
        if handle is None:
            raise BackendError("this model is closed; construct a new LongContextLLM")
        return handle

    @property
    def _vocab(self) -> Borrowed:
        return Borrowed(self._vocab_pointer, self.handle)

    # Metadata

    def metadata(self) -> dict[str, str]:
        """Every scalar key of the file, as text."""
        handle = self.handle
        out = {}
        for i in range(lib.llama_model_meta_count(handle)):
            key = _read_string(lambda b, n, i=i: lib.llama_model_meta_key_by_index(handle, i, b, n))
            out[key] = _read_string(
                lambda b, n, i=i: lib.llama_model_meta_val_str_by_index(handle, i, b, n)
            )
        return out

    def chat_template(self) -> str | None:
        """The file's Jinja chat template."""
        text = lib.llama_model_chat_template(self.handle, None)
        return text.decode("utf-8") if text else None

    def rope_type(self) -> str:
        """``"norm"``, ``"neox"``, ``"mrope"`` or ``"none"``."""
        self._need_weights("rope_type")
        return _ROPE_TYPES.get(int(lib.llama_model_rope_type(self.handle)), "mrope")

    def is_recurrent(self) -> bool:
        """Whether the model keeps a recurrent state (hybrids included) and not keys alone."""
        self._need_weights("is_recurrent")
        return bool(
            lib.llama_model_is_recurrent(self.handle) or lib.llama_model_is_hybrid(self.handle)
        )

    def size_bytes(self) -> int:
        """Bytes of all weights."""
        self._need_weights("size_bytes")
        return int(lib.llama_model_size(self.handle))

    def _need_weights(self, what: str) -> None:
        if self.vocab_only:
            raise BackendError(f"{what} needs the weights; this model was loaded vocab_only")

    # Tokens

    def token_text(self, token: int) -> bytes:
        """The vocabulary's raw entry."""
        self._check_token(token)
        return bytes(lib.llama_vocab_get_text(self._vocab, token))

    def token_attr(self, token: int) -> TokenAttr:
        """The attributes of a token."""
        self._check_token(token)
        return TokenAttr(int(lib.llama_vocab_get_attr(self._vocab, token)))

    def tokens_with(self, attributes: TokenAttr) -> list[int]:
        """The ids of all tokens that have one of these attributes, in their order."""
        vocab, attr_of, wanted = self._vocab, lib.llama_vocab_get_attr, int(attributes)
        return [token for token in range(self.n_vocab) if attr_of(vocab, token) & wanted]

    def is_end(self, token: int) -> bool:
        """Whether the token ends a message (EOT) or the text (EOS)."""
        # Kept, for it is asked of every token that is drawn.
        if (found := self._ends.get(token)) is None:
            self._check_token(token)
            found = self._ends[token] = bool(lib.llama_vocab_is_eog(self._vocab, token))
        return found

    @property
    def bos(self) -> int | None:
        """The token that begins a text, if the vocabulary has one."""
        return _token_or_none(lib.llama_vocab_bos(self._vocab))

    @property
    def eos(self) -> int | None:
        """The token that ends a text, if the vocabulary has one."""
        return _token_or_none(lib.llama_vocab_eos(self._vocab))

    @property
    def adds_bos(self) -> bool:
        """Whether the model was trained with a BOS token before every text."""
        return bool(lib.llama_vocab_get_add_bos(self._vocab))

    def encode(
        self, text: str, *, add_special: bool = False, parse_special: bool = False
    ) -> list[int]:
        """Tokenise; llama.cpp is the authority on what the model was trained with.

        Raises:
            RequestError: the text is not valid Unicode (a lone surrogate).
        """
        try:
            data = text.encode("utf-8")
        except UnicodeEncodeError as error:
            raise RequestError(
                f"the text holds a lone surrogate at index {error.start}, which no tokenizer can "
                "read; decode its bytes with errors='replace'"
            ) from error
        vocab = self._vocab
        size = len(data) + 8
        out = (lib.llama_token * size)()
        n = lib.llama_tokenize(vocab, data, len(data), out, size, add_special, parse_special)
        if n < 0:
            size = -n
            out = (lib.llama_token * size)()
            n = lib.llama_tokenize(vocab, data, len(data), out, size, add_special, parse_special)
        if n < 0:
            raise BackendError(f"llama.cpp cannot tokenise a text of {len(data)} bytes")
        return list(out[:n])

    def decode_bytes(self, ids: Sequence[int], *, special: bool = False) -> bytes:
        """Return the tokens' bytes; control tokens are empty unless ``special``."""
        vocab, known = self._vocab, self._pieces[special]
        # Kept, for a call into the library for each of a long prompt's tokens costs milliseconds.
        try:
            return b"".join([known[token] for token in ids])
        except KeyError:
            for token in set(ids) - known.keys():
                self._check_token(token)
                known[token] = _piece(vocab, token, special)
            return b"".join([known[token] for token in ids])

    def _check_token(self, token: int) -> None:
        if not 0 <= token < self.n_vocab:
            raise BackendError(
                f"token id {token} is outside the vocabulary (0 to {self.n_vocab - 1})"
            )


def _piece(vocab: Borrowed, token: int, special: bool) -> bytes:
    """A token's bytes."""
    size = 256
    while True:
        buffer = ctypes.create_string_buffer(size)
        n = lib.llama_token_to_piece(vocab, token, buffer, size, 0, special)
        if n >= 0:
            return buffer.raw[:n]
        size = -n


# What llama.cpp says of a good file that is newer than it, and of too little memory.
_UNKNOWN = re.compile(
    r"(?:unknown|unsupported) ((?:pre-)?tokenizer(?: type)?|(?:model )?architecture|vocab type)"
    r"(?::? ?'([^']*)')?"
)
_NO_MEMORY = re.compile(r"alloc|out of memory|mmap failed", re.IGNORECASE)


def _cannot_load(path: Path, reasons: str) -> LongCtxError:
    """Why a file was not loaded, and what to do about it; headers and sizes were checked before."""
    if found := _UNKNOWN.search(reasons):
        what = found[1].removesuffix(" type") + (f" {found[2]!r}" if found[2] else "")
        return UnsupportedModelError(
            f"{path} has the {what}, which this llama.cpp does not know ({build_id()}). The file "
            "is not to blame: install a newer llama-cpp-python, or take an older file of the model"
        )
    if _NO_MEMORY.search(reasons):
        return BackendError(
            f"llama.cpp has no memory to load {path}: {reasons}. Free some, place fewer layers on "
            "a GPU (gpu_layers), or take a smaller file"
        )
    return ModelFileError(
        f"llama.cpp cannot load {path}: {reasons}. The file is damaged, or was made for another "
        "version of llama.cpp: compare its size with the original's, download it again, or install "
        "a newer llama-cpp-python"
    )


def _token_or_none(token: int) -> int | None:
    return int(token) if token >= 0 else None


def _read_string(read: Any) -> str:
    size = 4096
    buffer = ctypes.create_string_buffer(size)
    n = read(buffer, size)
    if n >= size:
        buffer = ctypes.create_string_buffer(n + 1)
        read(buffer, n + 1)
    return buffer.value.decode("utf-8", "replace")


def _override_array(overrides: Mapping[str, float | int | bool | str]) -> Any:
    array = (lib.llama_model_kv_override * (len(overrides) + 1))()  # the last key stays empty
    for item, (key, value) in zip(array, overrides.items(), strict=False):
        item.key = key.encode()
        if isinstance(value, bool):
            item.tag, item.value.val_bool = _OVERRIDE_BOOL, value
        elif isinstance(value, int):
            item.tag, item.value.val_i64 = _OVERRIDE_INT, value
        elif isinstance(value, float):
            item.tag, item.value.val_f64 = _OVERRIDE_FLOAT, value
        else:
            item.tag, item.value.val_str = _OVERRIDE_STR, value.encode()
    return array
