"""Two vocabularies of a few hundred tokens: byte-level BPE and SentencePiece with byte fallback."""

from __future__ import annotations

from collections.abc import Sequence

import gguf

CHATML = (
    "{% for message in messages %}"
    "{{ '<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>\n' }}"
    "{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
CONTROL_TOKENS = ("<|endoftext|>", "<|im_start|>", "<|im_end|>")
_WORDS = (
    *("the", "and", "ing", "ion", "ent", "for", "tha", "er", "re", "on", "at", "en", "or"),
    *(" the", " and", " of", " to", " in", " is", " a", " be", " that", " it", " with"),
)


def add_vocabulary(
    writer: gguf.GGUFWriter,
    kind: str,
    chat_template: str | None = CHATML,
    n_at_least: int = 0,
    control: Sequence[str] = (),
) -> int:
    """Write a vocabulary (``"bpe"`` or ``"spm"``) and a chat template; return its size.

    Tokens that no text has make it as large as asked for; ``control`` are control tokens beside
    those of ChatML.
    """
    if kind == "bpe":
        tokens = _add_bpe(writer)
    elif kind == "spm":
        tokens = _add_spm(writer)
    else:
        raise ValueError(f"vocabulary {kind!r} is neither 'bpe' nor 'spm'")
    tokens += [token for token in control if token not in tokens]
    tokens = [*tokens, *(f"unused-{i}" for i in range(len(tokens), n_at_least))]
    types = [gguf.TokenType.CONTROL if token in control else _token_type(token) for token in tokens]
    writer.add_token_list(tokens)
    writer.add_token_types(types)
    writer.add_bos_token_id(tokens.index("<|endoftext|>" if kind == "bpe" else "<s>"))
    writer.add_eos_token_id(tokens.index("<|im_end|>"))
    writer.add_add_bos_token(kind == "spm")
    if chat_template is not None:
        writer.add_chat_template(chat_template)
    return len(tokens)


def _add_bpe(writer: gguf.GGUFWriter) -> list[str]:
    """Merges are in id order, as in the files of GPT-2's family."""
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("gpt-2")
    alphabet = _byte_alphabet()
    tokens, merges = list(alphabet.values()), []
    for word in _WORDS:
        symbols = [alphabet[byte] for byte in word.encode()]
        for end in range(1, len(symbols)):
            left, right = "".join(symbols[:end]), symbols[end]
            if left + right not in tokens:
                merges.append(f"{left} {right}")
                tokens.append(left + right)
    writer.add_token_merges(merges)
    return [*tokens, *CONTROL_TOKENS]


def _add_spm(writer: gguf.GGUFWriter) -> list[str]:
    writer.add_tokenizer_model("llama")
    writer.add_add_space_prefix(True)
    pieces = [chr(code) for code in range(0x21, 0x7F)] + ["\u2581"]
    pieces += [word[:end].replace(" ", "\u2581") for word in _WORDS for end in range(2, 6)]
    pieces = list(dict.fromkeys(pieces))
    tokens = ["<unk>", "<s>", "</s>", *(f"<0x{byte:02X}>" for byte in range(256)), *pieces]
    tokens += CONTROL_TOKENS
    writer.add_token_scores([float(len(token)) for token in tokens])
    return tokens


def _token_type(token: str) -> gguf.TokenType:
    if token == "<unk>":
        return gguf.TokenType.UNKNOWN
    if token in ("<s>", "</s>", *CONTROL_TOKENS):
        return gguf.TokenType.CONTROL
    if token.startswith("<0x"):
        return gguf.TokenType.BYTE
    return gguf.TokenType.NORMAL


def _byte_alphabet() -> dict[int, str]:
    """GPT-2's printable stand-in for each byte."""
    printable = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    alphabet = {byte: chr(byte) for byte in printable}
    others = (byte for byte in range(256) if byte not in alphabet)
    alphabet |= {byte: chr(256 + i) for i, byte in enumerate(others)}
    return dict(sorted(alphabet.items()))
