"""Thirty questions about the demo's document, which name what the answer must hold."""

from __future__ import annotations

from longctx import LongContextLLM
from longctx.evaluate import python_reference

_TOKENS = 12_288
_ANSWER_TOKENS = 48

QUESTIONS = (
    ("What is the name of the null object?", "None"),
    ("Which exception does an assert statement raise?", "AssertionError"),
    ("Which command line option requests optimization?", "-O"),
    ("Which PEP describes extended iterable unpacking?", "3132"),
    ("Which PEP is about the syntax for variable annotations?", "526"),
    ("Which PEP is about type hints?", "484"),
    ("Which PEP describes coroutines with async and await syntax?", "492"),
    ("Which PEP describes module __getattr__ and __dir__?", "562"),
    ("Which PEP specifies that __get__() is callable with one or two arguments?", "252"),
    ("Which exception is raised if an index is out of range?", "IndexError"),
    ("Which exception is raised when a name is not bound?", "NameError"),
    ("Which method is called to assign to a subscript of a user-defined object?", "__setitem__"),
    ("In which attribute are evaluated annotations stored?", "__annotations__"),
    ("Which error is it to use yield from inside a coroutine function?", "SyntaxError"),
    ("In which version did async and await become keywords?", "3.7"),
    ("Which method does an asynchronous iterable provide?", "__aiter__"),
    ("Into which attribute is the first string literal of a function body turned?", "__doc__"),
    ("What does the identifier __spam in a class named Ham become?", "_Ham__spam"),
    ("How many characters may a mangled name have before it is truncated?", "255"),
    ("Which method is called when the default attribute access fails?", "__getattr__"),
    ("Which method is called when an attribute assignment is attempted?", "__setattr__"),
    ("Which class must the __class__ of a module be a subclass of?", "ModuleType"),
    ("Which module interprets the attribute __objclass__?", "inspect"),
    ("Which attribute does __slots__ deny besides __weakref__?", "__dict__"),
    ("Which error is raised when a slot is already filled in a call?", "TypeError"),
    ("Which exception does division by zero raise?", "ZeroDivisionError"),
    ("Which function combines floor division and modulo?", "divmod"),
    ("Which built-in function returns code objects?", "compile"),
    ("What is the name of the ellipsis object?", "Ellipsis"),
    ("Which method customizes the truth value of an object?", "__bool__"),
)


def asked(llm: LongContextLLM) -> tuple[int, int]:
    """How many of the questions that the document answers a model answers; and of how many.

    Versions of Python differ in their reference: what is not in it is not asked.
    """
    ids = llm.tokenize(python_reference())[: min(_TOKENS, llm.target_ctx - 512)]
    document = llm.detokenize(ids)
    answerable = [(question, answer) for question, answer in QUESTIONS if answer in document]
    right = 0
    for question, answer in answerable:
        messages = [{"role": "user", "content": f"{document}\n\n{question} Answer in a few words."}]
        said = llm.chat(messages, max_tokens=_ANSWER_TOKENS, temperature=0.0)
        right += answer.lower() in said.text.lower()
    return right, len(answerable)
