"""JSON schemas as grammars."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from longctx.errors import RequestError
from longctx.grammar.grammar import Grammar
from longctx.grammar.meaning import Meant, meant
from longctx.grammar.one_of import OVERLAP
from longctx.grammar.schema_rewrite import rewritten
from longctx.grammar.schema_walk import check_patterns, check_size, every, levels

_OPTIONS = {
    # Blanks as json.dumps writes them: models know them well, and none can print them for ever.
    "whitespace_flexible": False,
    "item_separator": ", ",
    "key_separator": ": ",
    # What is left of oneOf by then cannot be told apart; it is said (Grammar.warnings).
    "coerce_one_of": True,
    "lenient": False,
}


@dataclass(frozen=True)
class JsonRule:
    """A JSON schema as the right side of a rule in a :class:`Grammar`.

    ``text`` begins with ``%json``. A grammar of several passes the sum of their ``levels`` and all
    of their ``warnings`` on.
    """

    text: str
    levels: int
    warnings: tuple[str, ...]


def json_rule(schema: Mapping[str, Any]) -> JsonRule:
    """Write a JSON schema for llguidance; whether it makes a grammar, :meth:`Grammar.check` says.

    Raises:
        RequestError: it is no JSON, or too large.
    """
    check_size(schema)
    check_patterns(schema)
    try:
        found = meant(schema)
        rule = _rule(found, tells_apart=True)
        # What a oneOf is narrowed to may hold nothing; llguidance refuses references to that.
        if any("oneOf" in each for each in every(found.schema)) and not _compiles(rule):
            return _rule(found, tells_apart=False)
    except (TypeError, ValueError) as error:
        raise RequestError(
            f"the JSON schema cannot be turned into a grammar: it is no JSON ({error})"
        ) from error
    return rule


def _rule(found: Meant, *, tells_apart: bool) -> JsonRule:
    if not isinstance(found.schema, Mapping):
        raise RequestError("the JSON schema cannot be turned into a grammar: nothing satisfies it")
    ready, warnings = rewritten(found.schema, tells_apart=tells_apart)
    text = json.dumps({**ready, "x-guidance": _OPTIONS}, allow_nan=False)
    return JsonRule("%json " + text, levels(ready), (*found.notes, *warnings))


def _compiles(rule: JsonRule) -> bool:
    try:
        _grammar(rule).check()
    except RequestError:
        return False
    return True


def _grammar(rule: JsonRule) -> Grammar:
    return Grammar(f"start: {rule.text}\n", levels=rule.levels)


def json_grammar(schema: Mapping[str, Any]) -> Grammar:
    """The grammar of one JSON value that a schema describes.

    Properties come in the schema's order; blanks are those of :func:`json.dumps`. An object that
    lists its properties gets no others, where the schema leaves that open.

    Args:
        schema: of any draft.

    Returns:
        A grammar that compiles; its warnings say what of the schema does not hold the answer.

    Raises:
        RequestError: it is no JSON schema, it is too large, nothing satisfies it, or it uses what
            no grammar can hold an answer to; the message names the keyword.
    """
    rule = json_rule(schema)
    grammar = _grammar(rule)
    try:
        said = grammar.check()
    except RequestError as error:
        raise RequestError(
            f"the JSON schema cannot be turned into a grammar: {_in_words(str(error))}"
        ) from error
    warnings = dict.fromkeys([*rule.warnings, *map(_warning, said)])
    return Grammar(grammar.lark, rule.levels, tuple(warnings))


def _in_words(refusal: str) -> str:
    text = refusal.removeprefix("llguidance refuses the grammar: ")
    # It names the place in the grammar that we wrote, which is all on one line.
    text = text.split("\n   1 |")[0].split("failed to compile JSON schema: ")[-1].strip()
    if text.startswith("Unimplemented keys: "):
        keys = json.loads(text.removeprefix("Unimplemented keys: "))
        names = ", ".join(map(repr, keys))
        return f"answers cannot be held to {names}; leave it out, and check the answer for it"
    return f"{text}; change or leave out what it names"


def _warning(said: str) -> str:
    if said.startswith("oneOf not fully supported"):
        return OVERLAP
    return f"of the JSON schema, this holds no answer: {said}"
