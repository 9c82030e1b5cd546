"""Chat templates in the shapes that real ones have, good and bad."""

from __future__ import annotations

from longctx.chat import CHATML

TURN = "{{ '<|im_start|>' + m.role + '\\n' + m.content + '<|im_end|>\\n' }}"
OPEN = "{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}"
THINK = "{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n<think>\\n' }}{% endif %}"

# Families without a system role, or with half of one: (template, why).
NO_SYSTEM = {
    "refuses it (Gemma 2)": (
        "{% if messages[0].role == 'system' %}{{ raise_exception('no system') }}{% endif %}"
        "{% for m in messages %}"
        "{% if (m.role == 'user') != (loop.index0 % 2 == 0) %}"
        "{{ raise_exception('roles must alternate') }}{% endif %}" + TURN + "{% endfor %}" + OPEN
    ),
    "drops it": "{% for m in messages if m.role != 'system' %}" + TURN + "{% endfor %}" + OPEN,
    "shows it before a last question only (Mistral Nemo)": (
        "{% set turns = messages[1:] if messages[0].role == 'system' else messages %}"
        "{% for m in turns %}"
        "{% if loop.last and m.role == 'user' and messages[0].role == 'system' %}"
        "{{ '<|im_start|>user\\n' + messages[0].content + '\\n\\n' + m.content + '<|im_end|>\\n' }}"
        "{% else %}" + TURN + "{% endif %}{% endfor %}" + OPEN
    ),
}
ONE_SYSTEM = {
    "drops a second (SmolLM3)": (
        "{% for m in messages if m.role != 'system' or loop.first %}" + TURN + "{% endfor %}" + OPEN
    ).replace("or loop.first", "or m == messages[0]"),
    "refuses a second (Qwen3.5)": (
        "{% for m in messages %}{% if m.role == 'system' and not loop.first %}"
        "{{ raise_exception('system must be first') }}{% endif %}" + TURN + "{% endfor %}" + OPEN
    ),
    "keeps the last (DeepSeek R1)": (
        "{% set ns = namespace(system='') %}"
        "{% for m in messages if m.role == 'system' %}{% set ns.system = m.content %}{% endfor %}"
        "{{ ns.system }}"
        "{% for m in messages if m.role != 'system' %}" + TURN + "{% endfor %}" + OPEN
    ),
}
DEVELOPER = (
    "{% for m in messages %}"
    "{% if m.role not in ['system', 'developer', 'user', 'assistant', 'tool'] %}"
    "{{ raise_exception('unknown role') }}{% endif %}" + TURN + "{% endfor %}" + OPEN
)
KEEPS_ALL = {
    "ChatML": CHATML,
    "trims": (
        "{% for m in messages %}{{ '<|im_start|>' + m.role + '\\n' + m.content | trim }}"
        "{{ '<|im_end|>\\n' }}{% endfor %}" + OPEN
    ),
    "quotes": (
        "{% for m in messages %}{{ '<|im_start|>' + m.role + '\\n' + (m.content | tojson) }}"
        "{{ '<|im_end|>\\n' }}{% endfor %}" + OPEN
    ),
    "shouts": (
        "{% for m in messages %}{{ '<|im_start|>' + m.role + '\\n' + (m.content | upper) }}"
        "{{ '<|im_end|>\\n' }}{% endfor %}" + OPEN
    ),
    "turns around": (
        "{% for m in messages | reverse %}" + TURN + "{% endfor %}" + OPEN  # newest first
    ),
    "opens the thoughts (DeepSeek R1)": (
        "{% for m in messages %}"
        "{% if m.role == 'assistant' %}{{ '<|im_start|>assistant\\n' }}"
        "{{ m.content.split('</think>')[-1] + '<|im_end|>\\n' }}"
        "{% else %}" + TURN + "{% endif %}{% endfor %}" + THINK
    ),
    "closes the thoughts (Qwen3)": (
        "{% for m in messages %}"
        "{% if m.role == 'assistant' and loop.last %}"
        "{{ '<|im_start|>assistant\\n<think>\\n\\n</think>\\n\\n' + m.content + '<|im_end|>\\n' }}"
        "{% else %}" + TURN + "{% endif %}{% endfor %}" + OPEN
    ),
}
LOSES_QUESTIONS = {
    "blank": "  \n",
    "a comment": "{# nothing #}",
    "constant": "Hi! Say something.",
    "the system's only": "{% for m in messages if m.role == 'system' %}{{ m.content }}{% endfor %}",
    "the last only": "{{ messages[-1].content }}",
    "the first only": "{{ messages[0].content }}",
    "the answers only": (
        "{% for m in messages if m.role == 'assistant' %}" + TURN + "{% endfor %}" + OPEN
    ),
}
LOSES_ANSWERS = "{% for m in messages if m.role == 'user' %}" + TURN + "{% endfor %}" + OPEN
CUTS = (
    "{% for m in messages %}{{ '<|im_start|>' + m.role + '\\n' + m.content[:40] }}"
    "{{ '<|im_end|>\\n' }}{% endfor %}" + OPEN
)
BROKEN = "{% for m in messages %}{{ m.content }"
