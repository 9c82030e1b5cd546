"""What servers call options that OpenAI's API does not have."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from longctx.errors import RequestError


@dataclass(frozen=True)
class Names:
    """Names of options at one kind of server; by default they are ours, which are llama-server's.

    Attributes:
        server: what it is, for messages.
        renamed: those with another name there.
        lacking: those that it would ignore, so that the answer would be another one.
    """

    server: str
    renamed: Mapping[str, str] = field(default_factory=dict)
    lacking: frozenset[str] = frozenset()

    def of(self, name: str) -> str:
        """The name there."""
        return self.renamed.get(name, name)

    def check(self, given: Mapping[str, Any]) -> None:
        """Refuse what would be ignored.

        Raises:
            RequestError: it is asked for.
        """
        for name in sorted(self.lacking.intersection(given)):
            if given[name] is not None:
                raise RequestError(f"{self.server} has no {name}; leave it out")


OWN_NAMES = Names("this server")
LLAMA_SERVER_NAMES = Names("llama-server", lacking=frozenset({"stop_on_repetition"}))
# It ignores unknown fields: https://docs.vllm.ai/en/latest/api/vllm/sampling_params.html
VLLM_NAMES = Names(
    "vLLM",
    renamed={"repeat_penalty": "repetition_penalty"},
    lacking=frozenset(
        {
            "typical_p",
            "repeat_last_n",
            "dry_multiplier",
            "dry_base",
            "dry_allowed_length",
            "dry_penalty_last_n",
            "xtc_probability",
            "xtc_threshold",
            "mirostat",
            "mirostat_tau",
            "mirostat_eta",
            "stop_on_repetition",
        }
    ),
)
