"""Chat templates in the ways that families write calls and thoughts, one of each."""

from __future__ import annotations

_HEAD = (
    "{% if tools %}{{ '<|im_start|>system\\nTools: ' + (tools | tojson) + '<|im_end|>\\n' }}"
    "{% endif %}"
    "{% for m in messages %}{{ '<|im_start|>' + m.role + '\\n' }}"
    "THOUGHT{{ m.content }}"
)
_THOUGHT = (
    "{% if m.reasoning_content %}{{ '<think>\\n' + m.reasoning_content + '\\n</think>\\n\\n' }}"
    "{% endif %}"
)
_TAIL = "{{ '<|im_end|>\\n' }}{% endfor %}"
_OPEN = "{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}"
_CALLS = "{% for c in m.tool_calls or [] %}{% set f = c.function %}"


def _template(calls: str, opening: str = _OPEN, thought: str = "") -> str:
    return _HEAD.replace("THOUGHT", thought) + calls + _TAIL + opening


CALL_SHAPES = {
    "an object in tags (Hermes, Qwen 2.5)": _template(
        _CALLS + "{{ '\\n' if not loop.first }}{{ '<tool_call>\\n' }}"
        "{{ {'name': f.name, 'arguments': f.arguments} | tojson }}{{ '\\n</tool_call>' }}"
        "{% endfor %}"
    ),
    "a list behind a mark (Mistral Nemo)": _template(
        "{% if m.tool_calls %}{{ '[TOOL_CALLS][' }}" + _CALLS + "{{ ', ' if not loop.first }}"
        "{{ {'name': f.name, 'arguments': f.arguments} | tojson }}{% endfor %}{{ ']' }}{% endif %}"
    ),
    "a bare object (Llama 3)": _template(
        "{% if m.tool_calls | length > 1 %}{{ raise_exception('one at a time') }}{% endif %}"
        + _CALLS + "{{ {'name': f.name, 'parameters': f.arguments} | tojson }}{% endfor %}"
    ),
    "the name as a key (Apertus)": _template(
        "{% if m.tool_calls %}{{ '<|tools_prefix|>[' }}" + _CALLS + "{{ ', ' if not loop.first }}"
        "{{ {f.name: f.arguments} | tojson }}{% endfor %}{{ ']<|tools_suffix|>' }}{% endif %}"
    ),
    "a name and an object (Functionary, DeepSeek V3.1)": _template(
        _CALLS + "{{ '<function=' + f.name + '>' + (f.arguments | tojson) + '</function>' }}"
        "{% endfor %}"
    ),
    "parameters in tags (Qwen3-Coder)": _template(
        _CALLS + "{{ '\\n' if not loop.first }}{{ '<tool_call>\\n<function=' + f.name + '>\\n' }}"
        "{% for k, v in f.arguments.items() %}{{ '<parameter=' + k + '>\\n' }}"
        "{{ v if v is string else v | tojson }}{{ '\\n</parameter>\\n' }}{% endfor %}"
        "{{ '</function>\\n</tool_call>' }}{% endfor %}"
    ),
    "keys and values in tags (GLM)": _template(
        _CALLS + "{{ '<tool_call>' + f.name }}{% for k, v in f.arguments.items() %}"
        "{{ '\\n<arg_key>' + k + '</arg_key>\\n<arg_value>' }}"
        "{{ v if v is string else v | tojson }}{{ '</arg_value>' }}{% endfor %}"
        "{{ '\\n</tool_call>' }}{% endfor %}"
    ),
    "as Python calls functions (LFM2)": _template(
        "{% if m.tool_calls %}{{ '<|tool_call_start|>[' }}" + _CALLS
        + "{{ ', ' if not loop.first }}{{ f.name + '(' }}{% for k, v in f.arguments.items() %}"
        "{{ ', ' if not loop.first }}{{ k + '=' }}"
        "{{ \"'\" + v + \"'\" if v is string else v | tojson }}{% endfor %}{{ ')' }}"
        "{% endfor %}{{ ']<|tool_call_end|>' }}{% endif %}"
    ),
    "braces and quotes of its own (Gemma 4)": _template(
        _CALLS + "{{ '<|tool_call>call:' + f.name + '{' }}{% for k, v in f.arguments.items() %}"
        "{{ ',' if not loop.first }}{{ k + ':' }}"
        "{{ '<|\"|>' + v + '<|\"|>' if v is string else v | tojson }}{% endfor %}"
        "{{ '}<tool_call|>' }}{% endfor %}"
    ),
}  # fmt: skip
SOME = ("an object in tags (Hermes, Qwen 2.5)", "keys and values in tags (GLM)")
"""Those that `make test` tries."""

THINKS = _template(
    _CALLS + "{{ '<tool_call>\\n' }}{{ {'name': f.name, 'arguments': f.arguments} | tojson }}"
    "{{ '\\n</tool_call>' }}{% endfor %}",
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}"
    "{% if enable_thinking is not defined or enable_thinking %}{{ '<think>\\n' }}"
    "{% else %}{{ '<think>\\n\\n</think>\\n\\n' }}{% endif %}{% endif %}",
    _THOUGHT,
)
"""Hermes' calls, and an answer that begins with thoughts, as Qwen 3's."""
