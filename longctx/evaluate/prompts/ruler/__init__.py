"""RULER's thirteen tasks (Hsieh et al. 2024), without a download; pure and seeded.

Prompts, counts, room and beginnings of the answers, and scoring are those that the paper's code
says (compared at its commit c3f5e3b; docs/evaluation.md has what differs). The prose of the
haystacks and the words of `cwe` come from a text at hand, documents and questions are invented.
"""

from longctx.evaluate.prompts.ruler.niah import NIAH_TASKS
from longctx.evaluate.prompts.ruler.question_answering import QUESTION_TASKS
from longctx.evaluate.prompts.ruler.task import Material, RulerTask, Sample
from longctx.evaluate.prompts.ruler.variable_tracking import VARIABLE_TRACKING
from longctx.evaluate.prompts.ruler.word_counts import COMMON_WORDS, FREQUENT_WORDS

TASKS: dict[str, RulerTask] = {
    task.name: task
    for task in (*NIAH_TASKS, VARIABLE_TRACKING, COMMON_WORDS, FREQUENT_WORDS, *QUESTION_TASKS)
}
"""By name, in the paper's order."""

OTHER_NAMES = {"niah_single": "niah_single_2", "niah_multikey": "niah_multikey_1"}
"""What two of them are called besides: these were the only ones of their kind."""

__all__ = ["OTHER_NAMES", "TASKS", "Material", "RulerTask", "Sample"]
