"""What an answer may be, token by token: grammars, JSON schemas as such, and guides of answers.

A grammar is a value, checked where it is asked for (:func:`json_grammar`, :meth:`Grammar.check`);
in the model's thread it is started for each answer (:class:`GrammarMatcher`) on the model's
:class:`TokenTable`. What steers an answer is anything with a :class:`Guide`'s methods.
"""

from longctx.grammar.grammar import Grammar
from longctx.grammar.guide import Guide, Starts
from longctx.grammar.json_schema import JsonRule, json_grammar, json_rule
from longctx.grammar.matcher import GrammarMatcher
from longctx.grammar.tokens import TokenTable

__all__ = [
    "Grammar",
    "GrammarMatcher",
    "Guide",
    "JsonRule",
    "Starts",
    "TokenTable",
    "json_grammar",
    "json_rule",
]
