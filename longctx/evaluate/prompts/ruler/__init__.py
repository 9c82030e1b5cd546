"""RULER's synthetic tasks (Hsieh et al. 2024) that need no download; pure and seeded.

Templates, counts and room for the answer are those of the paper's code. What differs: the
essays of the haystack, and the words of `cwe`, come from a text at hand; and the answer is asked
of the chat template, without a first half of it put into the model's mouth.
"""

from longctx.evaluate.prompts.ruler.niah import NIAH_TASKS
from longctx.evaluate.prompts.ruler.task import Material, RulerTask, Sample, string_match_all
from longctx.evaluate.prompts.ruler.variable_tracking import VARIABLE_TRACKING
from longctx.evaluate.prompts.ruler.word_counts import COMMON_WORDS, FREQUENT_WORDS

TASKS: dict[str, RulerTask] = {
    task.name: task for task in (*NIAH_TASKS, VARIABLE_TRACKING, COMMON_WORDS, FREQUENT_WORDS)
}
"""By name, in the paper's order."""

__all__ = ["TASKS", "Material", "RulerTask", "Sample", "string_match_all"]
