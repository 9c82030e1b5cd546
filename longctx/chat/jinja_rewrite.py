"""Chat templates rewritten before they are compiled: loops count, end early, and are recorded.

What a template writes stays what it was.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import TypeGuard

from jinja2 import nodes
from jinja2.visitor import NodeTransformer

_PURE = (
    nodes.And, nodes.Compare, nodes.Const, nodes.Getattr, nodes.Getitem, nodes.Name, nodes.Not,
    nodes.Operand, nodes.Or, nodes.Test,
)  # fmt: skip
"""Expressions that change nothing, whatever they are of."""
_SIMPLE = (nodes.And, nodes.Const, nodes.Name, nodes.Not, nodes.Or)
_OF_TURN = frozenset({"index", "index0", "first", "last", "nextitem", "previtem", "depth"})
"""What follows from the number of a turn, and the items that were taken from the loop so far."""
_OF_LENGTH = frozenset({"length", "revindex", "revindex0"})
_GLOBAL = frozenset({"range", "dict", "namespace", "raise_exception", "strftime_now", "loop"})
_NEVER_THE_SAME = frozenset({"lipsum", "cycler", "joiner", "self"})
_ELSEWHERE = (nodes.Block, nodes.Extends, nodes.Include, nodes.Import, nodes.FromImport)


def rewrite(tree: nodes.Template) -> nodes.Template:
    """Rewrite a template, in place.

    The filters that it needs, beside ``_joined``: ``_metered(items)``, ``_indices(items, start)``
    for ``range(start, items | length)``, ``_of_length(value)`` and, of loops whose turns may be
    recorded, ``_turns(items, site, outside)``, ``_must_render(loop, site)`` and ``_end(site)``.
    """
    loops = list(_outermost(tree.body)) if _is_recordable(tree) else []
    macros = list(tree.find_all(nodes.Macro))
    recorded = [loop for loop in loops if _may_record(loop, macros)]
    _Rewrite({id(loop): _looked_up([loop, *macros]) for loop in recorded}).visit(tree)
    return tree


class _Rewrite(NodeTransformer):
    def __init__(self, recorded: dict[int, list[str]]) -> None:
        self._recorded = recorded
        self._sites = {loop: site for site, loop in enumerate(recorded)}

    def visit_For(self, node: nodes.For) -> nodes.Node | list[nodes.Node]:
        outside = self._recorded.get(id(node))
        self.generic_visit(node)
        _end_early(node)
        assert isinstance(node.iter, nodes.Expr)
        node.iter = _indices(node.iter)
        if outside is None:
            node.iter = _filter(node.iter, "_metered")
            return node
        line = node.lineno
        site = nodes.Const(self._sites[id(node)], lineno=line)
        names = [
            nodes.Pair(nodes.Const(name), nodes.Name(name, "load"), lineno=line) for name in outside
        ]
        node.iter = _filter(node.iter, "_turns", site, nodes.Dict(names, lineno=line))
        test = _filter(nodes.Name("loop", "load", lineno=line), "_must_render", site)
        node.body = [nodes.If(test, node.body, [], [], lineno=line)]
        return [node, nodes.Output([_filter(site, "_end")], lineno=line)]

    def visit_Concat(self, node: nodes.Concat) -> nodes.Node:
        self.generic_visit(node)
        return _filter(nodes.List(node.nodes, lineno=node.lineno), "_joined")

    def visit_Getattr(self, node: nodes.Getattr) -> nodes.Node:
        self.generic_visit(node)
        is_length = isinstance(node.node, nodes.Name) and node.node.name == "loop"
        return _filter(node, "_of_length") if is_length and node.attr in _OF_LENGTH else node


def _filter(node: nodes.Expr, name: str, *arguments: nodes.Expr) -> nodes.Filter:
    return nodes.Filter(node, name, list(arguments), [], None, None, lineno=node.lineno)


# Loops that are recorded


def _is_recordable(tree: nodes.Template) -> bool:
    """Whether a template is one text, whose macros are told apart by their names."""
    names = [macro.name for macro in tree.find_all(nodes.Macro)]
    return len(set(names)) == len(names) and next(tree.find_all(_ELSEWHERE), None) is None


def _outermost(body: Iterable[nodes.Node]) -> Iterator[nodes.For]:
    """Loops that run once, and whose text is the template's own at once."""
    for node in body:
        if isinstance(node, nodes.For):
            yield node
        elif isinstance(node, nodes.If):
            for part in (node.body, node.elif_, node.else_):
                yield from _outermost(part)


def _may_record(loop: nodes.For, macros: Sequence[nodes.Macro]) -> bool:
    """Whether all that its turns read can be followed."""
    parts = [loop, *macros]
    calls = [call for part in parts for call in part.find_all(nodes.Filter)]
    of_loop = {
        id(found.node): found.attr
        for part in parts
        for found in part.find_all(nodes.Getattr)
        if isinstance(found.node, nodes.Name) and found.node.name == "loop"
    }
    names = [name for part in parts for name in part.find_all(nodes.Name)]
    return (
        not (loop.recursive or loop.test or loop.else_)
        and not {"random", "attr"} & {call.name for call in calls}
        and not _NEVER_THE_SAME & {name.name for name in names}
        and all(
            of_loop.get(id(name)) in _OF_TURN | _OF_LENGTH for name in names if name.name == "loop"
        )
    )


def _looked_up(parts: Sequence[nodes.Node]) -> list[str]:
    """Names that may be a variable's outside of them: that they read, or set attributes of."""
    read = {name.name for part in parts for name in part.find_all(nodes.Name) if name.ctx == "load"}
    changed = {name.name for part in parts for name in part.find_all(nodes.NSRef)}
    return sorted((read | changed) - _GLOBAL)


# Loops that end early


def _indices(node: nodes.Expr) -> nodes.Expr:
    """``range(start, items | length)`` as what reads no more than it goes through."""
    if not (
        isinstance(node, nodes.Call)
        and isinstance(node.node, nodes.Name)
        and node.node.name == "range"
        and 1 <= len(node.args) <= 2
        and not (node.kwargs or node.dyn_args or node.dyn_kwargs)
    ):
        return node
    length = node.args[-1]
    if not (isinstance(length, nodes.Filter) and length.name == "length" and length.node):
        return node
    start = node.args[0] if len(node.args) == 2 else nodes.Const(0, lineno=node.lineno)
    return _filter(length.node, "_indices", start)


def _end_early(loop: nodes.For) -> None:
    """Put a break where every turn that follows would change and write nothing.

    Templates look for something in the whole conversation, some for each of its messages, behind a
    flag that says whether it was found (Qwen 3, Gemma 4, gpt-oss): a thousand took seconds.
    """
    *before, last = [node for node in loop.body if not _is_empty(node)] or [loop]
    local = [node for node in before if _is_local(node)]
    if loop.recursive or loop.test or not isinstance(last, nodes.If) or before != local:
        return
    own = {"loop", *_names(loop.target), *(name for node in local for name in _names(node.target))}
    is_alone = not last.elif_ and not last.else_
    assert isinstance(last.test, nodes.Expr)
    stops: list[nodes.Expr] = []
    if is_alone:  # once one of these is false, it stays so
        flags = [test for test in _joined(last.test) if _is_flag(test, own)]
        stops += [nodes.Not(flag, lineno=flag.lineno) for flag in flags]
    elif all(map(_is_empty, last.body)) and _is_flag(last.test, own):  # once it is true
        stops.append(last.test)
    if stops:
        ends: list[nodes.Node] = [
            nodes.If(stop, [nodes.Break(lineno=stop.lineno)], [], [], lineno=stop.lineno)
            for stop in stops
        ]
        loop.body = [*ends, *loop.body]
    elif is_alone and not local and _cannot_fail(last.test) and _sets_flags(last.body):
        # What is set again is the same.
        last.body = [*last.body, nodes.Break(lineno=last.lineno)]


def _joined(test: nodes.Expr) -> Iterator[nodes.Expr]:
    """What must be true, up to what may be looked at only if all before is."""
    if isinstance(test, nodes.And):
        assert isinstance(test.left, nodes.Expr)
        yield from _joined(test.left)
    else:
        yield test


def _is_flag(test: nodes.Expr, own: set[str]) -> bool:
    return _is_pure(test) and not own.intersection(_names(test))


def _is_local(node: nodes.Node) -> TypeGuard[nodes.Assign]:
    """Whether it sets a variable that ends with the turn, and does nothing else."""
    return (
        isinstance(node, nodes.Assign)
        and isinstance(node.target, nodes.Name)
        and node.find(nodes.Call) is None
    )


def _names(node: nodes.Node) -> Iterator[str]:
    for found in (node, *node.find_all(nodes.Name)):
        if isinstance(found, nodes.Name):
            yield found.name


def _is_empty(node: nodes.Node) -> bool:
    """Output of nothing: of comments, or white space that is trimmed."""
    return isinstance(node, nodes.Output) and all(
        isinstance(part, nodes.TemplateData) and not part.data for part in node.nodes
    )


def _is_pure(node: nodes.Node) -> bool:
    return isinstance(node, _PURE) and all(map(_is_pure, node.iter_child_nodes()))


def _cannot_fail(node: nodes.Node) -> bool:
    """Whether an expression compares messages' fields with constants, and does no more."""
    if isinstance(node, nodes.Getattr | nodes.Getitem):
        return isinstance(node.node, nodes.Name) and _is_pure(node)
    if isinstance(node, nodes.Compare):
        operand = node.ops[0]
        is_key = isinstance(node.expr, nodes.Const) and isinstance(operand.expr, nodes.Name)
        known = {"eq", "ne", "in", "notin"} if is_key else {"eq", "ne"}
        sides = (node.expr, operand.expr)
        return len(node.ops) == 1 and operand.op in known and all(map(_cannot_fail, sides))
    return isinstance(node, _SIMPLE) and all(map(_cannot_fail, node.iter_child_nodes()))


def _sets_flags(body: Sequence[nodes.Node]) -> bool:
    """Whether it sets attributes of namespaces to constants, and does nothing else."""
    return bool(body) and all(
        isinstance(node, nodes.Assign)
        and isinstance(node.target, nodes.NSRef)
        and isinstance(node.node, nodes.Const)
        for node in body
        if not _is_empty(node)
    )
