"""Documents that stand compressed in a window, and those that were to and do not."""

from __future__ import annotations

from collections.abc import Sequence

from longctx.documents.answer import CompiledDocument
from longctx.documents.asking import Asking
from longctx.documents.layout import Block
from longctx.prompt import Prompt
from longctx.protocols import ComposingModel


def compiled_documents(
    asking: Asking, prompt: Prompt | None, blocks: Sequence[Block]
) -> tuple[list[CompiledDocument], list[str]]:
    """What stood compressed, and what did not, and why.

    Args:
        asking: after its calls.
        prompt: with the documents whole in it; None where there was none.
        blocks: what was read.
    """
    wanted = [block for block in blocks if block.document.compile is not None]
    spans = {span.passage: span for span in prompt.compressed} if prompt is not None else {}
    if not asking.compressed_tokens:
        spans = {}
    compiled, whole = [], dict[str, None]()  # of a document, several passages may have been read
    for number, block in enumerate(wanted):
        document, span = block.document, spans.get(number)
        if span is not None:
            tokens = span.end - span.begin
            compiled.append(
                CompiledDocument(doc_id=document.doc_id, share=span.share, tokens=tokens)
            )
        elif document.compile != 1:
            whole[document.doc_id] = None
    if not whole:
        return compiled, []
    if not isinstance(asking.llm, ComposingModel):
        reason = f"a {type(asking.llm).__name__} cannot compress them"
    elif any(block.is_passage for block in wanted) or prompt is None:
        reason = "passages of them were read"
    elif spans or not prompt.compressed:
        reason = "they are shorter than what is worth it, longer than the trained window, or the "
        reason += "model's cache cannot be compressed"
    else:
        reason = "their answer found no room for it in the cache"
    return compiled, [f"added to be compiled, and not: {', '.join(whole)}: {reason}"]
