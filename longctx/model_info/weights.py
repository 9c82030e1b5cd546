"""What the tensors of each layer weigh: what can be placed apart from the others."""

from __future__ import annotations

import re
from collections.abc import Sequence

from longctx.model_info.gguf_header import GgufHeader
from longctx.types import Frozen

_BLOCK = re.compile(r"blk\.(\d+)\.")
_EXPERTS = re.compile(r"blk\.\d+\.ffn_(up|down|gate|gate_up)_(ch|)exps")


class WeightsLayout(Frozen):
    """Bytes of a model's weights by where llama.cpp can put them.

    ``layers`` has those of each layer, drafting ones (multi-token prediction) included, which are
    not loaded and weigh nothing; ``experts`` how much of each are a mixture's experts. The
    ``output`` counts as one more layer; where the file has none of its own, it is the token
    embeddings once more. ``inputs`` stay with the processor. ``largest`` is the largest tensor of a
    layer.
    """

    layers: tuple[int, ...]
    experts: tuple[int, ...]
    inputs: int
    output: int
    largest: int

    def scaled(self, share: float) -> WeightsLayout:
        """Of the same model in so many times the bytes, about: by another quantisation."""
        return WeightsLayout(
            layers=tuple(round(share * size) for size in self.layers),
            experts=tuple(round(share * size) for size in self.experts),
            inputs=round(share * self.inputs),
            output=round(share * self.output),
            largest=round(share * self.largest),
        )

    @classmethod
    def of(cls, headers: Sequence[GgufHeader], *, n_layer: int, n_block: int) -> WeightsLayout:
        """Add up the tensors of a model's files.

        Args:
            headers: of its files.
            n_layer: layers that run.
            n_block: layers of the file.
        """
        layers, experts, largest = [0] * n_block, [0] * n_block, 0
        inputs = output = embeddings = 0
        has_output = False
        for name, tensor in ((n, t) for header in headers for n, t in header.tensors.items()):
            block = _BLOCK.match(name)
            if block is None:
                if name.startswith("output"):
                    output += tensor.n_bytes
                    has_output = has_output or name == "output.weight"
                else:
                    inputs += tensor.n_bytes
                    embeddings += tensor.n_bytes * (name == "token_embd.weight")
            elif (layer := int(block[1])) < n_layer:
                layers[layer] += tensor.n_bytes
                experts[layer] += tensor.n_bytes * (_EXPERTS.match(name) is not None)
                largest = max(largest, tensor.n_bytes)
        return cls(
            layers=tuple(layers),
            experts=tuple(experts),
            inputs=inputs,
            output=output + embeddings * (not has_output),
            largest=max(largest, output),
        )

    @property
    def has_experts(self) -> bool:
        """Whether the model is a mixture of experts."""
        return any(self.experts)
