"""Which models ``longctx serve`` has, as they are named on its command line."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import TYPE_CHECKING, Any

from longctx.cli.opening import DEVICES, OPENING
from longctx.cli.output import errors, show_plan
from longctx.errors import RequestError

if TYPE_CHECKING:
    from longctx.server import ModelPool, ServedModel

_NAMED = re.compile(r"([A-Za-z0-9][A-Za-z0-9._:/-]*)=(.+)")
_PART = re.compile(r"-\d{5}-of-\d{5}$")


@dataclass(frozen=True)
class Named:
    """A model of the command line.

    Attributes:
        model: as :class:`longctx.LongContextLLM` takes it, or its name on another server.
        name: that clients give, where the command line says one.
    """

    model: str
    name: str | None = None

    @classmethod
    def of(cls, text: str) -> Named:
        """NAME=MODEL, or MODEL; a file whose own name has such a mark is one.

        Examples:
            >>> Named.of("small=models/a.gguf")
            Named(model='models/a.gguf', name='small')
            >>> Named.of("hf:owner/repo:Q4_K_M").own_name
            'owner/repo:Q4_K_M'
        """
        found = _NAMED.fullmatch(text)
        return cls(text) if found is None or Path(text).exists() else cls(found[2], found[1])

    @property
    def own_name(self) -> str:
        """The one that it is given, else that of its file or of its place."""
        if self.name is not None:
            return self.name
        kind, colon, rest = self.model.partition(":")
        if colon and kind in ("hf", "ollama"):
            return rest
        return _PART.sub("", PurePath(self.model).stem)


@dataclass(frozen=True)
class Opening:
    """How models are opened.

    Attributes:
        options: of :class:`longctx.LongContextLLM`.
        verbose: log what llama.cpp says.
        base_url: of the server that has them; None where they run here.
        base_key: what that server asks for.
    """

    options: dict[str, Any]
    verbose: bool = False
    base_url: str | None = None
    base_key: str | None = None

    def one(self, model: str | None) -> ServedModel:
        """A model, at once."""
        if self.base_url is not None:
            from longctx.server import RelayedModel

            relayed = RelayedModel.connect(self.base_url, model, **self._remote_options())
            errors.print(str(relayed), markup=False)
            return relayed
        from longctx.llm import LongContextLLM

        llm = LongContextLLM(model, verbose=self.verbose, **self.options)
        llm.warm_up()
        show_plan(llm.plan)
        return llm

    def several(self, models: Sequence[Named], max_open: int | None) -> ModelPool:
        """Models that are opened when they are asked for.

        Raises:
            RequestError: two have one name, or an option is of one model alone.
        """
        from longctx.server import ModelPool, ModelSource

        if "adapters" in self.options:
            raise RequestError("--adapter is of one model; serve that one by itself")
        options = dict(self.options)
        limit = options.pop("memory_limit", None)
        source: Callable[[Named], ModelSource]
        if self.base_url is None:

            def source(named: Named) -> ModelSource:
                return ModelSource.of_file(
                    named.own_name, named.model, verbose=self.verbose, **options
                )
        else:
            url, remote = self.base_url, self._remote_options()

            def source(named: Named) -> ModelSource:
                return ModelSource.of_server(named.own_name, url, named.model, **remote)

        return ModelPool(
            [source(each) for each in models],
            memory_limit=limit,
            max_open=max_open,
            announce=lambda line: errors.print(line, markup=False),
        )

    def _remote_options(self) -> dict[str, Any]:
        """Its window is that server's, or less; how it is opened was decided there."""
        options = dict(self.options)
        devices = options.pop("devices", None)
        chosen = {k: value for k, value in options.items() if value != OPENING[k].default}
        known = chosen.keys() & {"target_ctx", "reserve_output"}
        taken = {key: chosen.pop(key) for key in known}
        asked = [OPENING[key].name for key in sorted(chosen)]
        if devices is not None:
            usual = type(devices)()
            asked += [
                option.name
                for key, option in DEVICES.items()
                if getattr(devices, key) != getattr(usual, key)
            ]
        if asked:
            named = ", ".join(f"--{name.replace('_', '-')}" for name in asked)
            raise RequestError(
                f"{named}: with --base-url that is decided where the model is served"
            )
        return {"api_key": self.base_key, **taken}
