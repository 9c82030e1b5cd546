"""Chat templates by name.

For files that have none, or a bad one. Each writes the messages of a family and no more: tools are
described in words, and families without a system role get its text in the user's first message.
"""

from __future__ import annotations

CHATML = (
    "{% for message in messages %}"
    "{{ '<|im_start|>' + message['role'] + '\\n' + message['content'] + '<|im_end|>\\n' }}"
    "{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}"
)
_NO_SYSTEM = (
    "{% if messages[0].role == 'system' %}"
    "{{ raise_exception('this family has no system role') }}"
    "{% endif %}"
)
# Jinja swallows a line feed behind a tag, so they stand in strings.
NAMED_TEMPLATES = {
    "chatml": CHATML,
    "gemma": (
        _NO_SYSTEM + "{{ bos_token }}"
        "{% for message in messages %}"
        "{% set role = 'model' if message.role == 'assistant' else message.role %}"
        "{{ '<start_of_turn>' + role + '\\n' + message.content | trim + '<end_of_turn>\\n' }}"
        "{% endfor %}"
        "{% if add_generation_prompt %}{{ '<start_of_turn>model\\n' }}{% endif %}"
    ),
    "llama2": (
        "{% if messages[0].role == 'system' %}"
        "{% set system = '<<SYS>>\\n' + messages[0].content + '\\n<</SYS>>\\n\\n' %}"
        "{% set turns = messages[1:] %}"
        "{% else %}{% set system = '' %}{% set turns = messages %}{% endif %}"
        "{% for message in turns %}"
        "{% if message.role == 'assistant' %}"
        "{{ ' ' + message.content | trim + ' ' + eos_token }}"
        "{% else %}{{ bos_token + '[INST] ' + (system if loop.first else '') }}"
        "{{ message.content + ' [/INST]' }}{% endif %}"
        "{% endfor %}"
    ),
    "llama3": (
        "{{ bos_token }}"
        "{% for message in messages %}"
        "{{ '<|start_header_id|>' + message.role + '<|end_header_id|>\\n\\n' }}"
        "{{ message.content | trim + '<|eot_id|>' }}"
        "{% endfor %}"
        "{% if add_generation_prompt %}"
        "{{ '<|start_header_id|>assistant<|end_header_id|>\\n\\n' }}{% endif %}"
    ),
    "mistral": (
        _NO_SYSTEM + "{{ bos_token }}"
        "{% for message in messages %}"
        "{% if message.role == 'assistant' %}{{ ' ' + message.content | trim + eos_token }}"
        "{% else %}{{ '[INST] ' + message.content + '[/INST]' }}{% endif %}"
        "{% endfor %}"
    ),
    "phi3": (
        "{% for message in messages %}"
        "{{ '<|' + message.role + '|>\\n' + message.content + '<|end|>\\n' }}"
        "{% endfor %}"
        "{% if add_generation_prompt %}{{ '<|assistant|>\\n' }}{% endif %}"
    ),
    "vicuna": (
        "{% for message in messages %}"
        "{% if message.role == 'system' %}{{ message.content + '\\n\\n' }}"
        "{% elif message.role == 'assistant' %}"
        "{{ 'ASSISTANT: ' + message.content + eos_token + '\\n' }}"
        "{% else %}{{ 'USER: ' + message.content + '\\n' }}{% endif %}"
        "{% endfor %}"
        "{% if add_generation_prompt %}{{ 'ASSISTANT:' }}{% endif %}"
    ),
    "zephyr": (
        "{% for message in messages %}"
        "{{ '<|' + message.role + '|>\\n' + message.content + eos_token + '\\n' }}"
        "{% endfor %}"
        "{% if add_generation_prompt %}{{ '<|assistant|>\\n' }}{% endif %}"
    ),
}
PASS_ANOTHER = (
    "pass another with chat_template= (--chat-template): Jinja text, a file, or one of "
    f"{', '.join(NAMED_TEMPLATES)}"
)
