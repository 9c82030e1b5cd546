"""Questions about one or two of many documents (RULER, section 3), all of them invented.

The paper takes paragraphs of SQuAD and of HotpotQA, which must be downloaded, and which models have
read. These are lives that nobody lived, so that an answer can only come from the text.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from random import Random

from longctx.evaluate.prompts.ruler.invented import invented_word
from longctx.evaluate.prompts.ruler.task import Material, RulerTask, Sample, string_match_part

_INSTRUCTION = (
    "Answer the question based on the given documents. Only give me the answer and do not output "
    "any other words."
)
_TEMPLATE = (
    f"{_INSTRUCTION}\n\nThe following are given documents.\n\n{{context}}\n\n{_INSTRUCTION}\n\n"
    "Question: {question}"
)
_TRADES = (
    "astronomer", "bookbinder", "cartographer", "clockmaker", "composer", "engraver", "gardener",
    "glassblower", "lens grinder", "organ builder", "potter", "shipwright",
)  # fmt: skip
_WORKS = (
    "a bridge of oak", "a bronze bell", "a map of the coast", "a book of birds", "a herb garden",
    "a clock with two faces", "a chair for the mayor", "a chapel window", "a treatise on tides",
)  # fmt: skip


@dataclass(frozen=True)
class _Life:
    name: str
    trade: str
    town: str
    village: str
    born: int
    teacher: str
    work: str

    @property
    def document(self) -> str:
        """What a small encyclopedia has of somebody."""
        last = self.name.split()[-1]
        return (
            f"{self.name} was a {self.trade}, born in the town of {self.town} in {self.born}. "
            f"{last} learned the trade from {self.teacher}, and made {self.work} in "
            f"{self.born + 31}. The workshop in the village of {self.village} stood until "
            f"{self.born + 94}, when a fire took the roof."
        )


def _name(random: Random) -> str:
    return f"{invented_word(random, 2)} {invented_word(random)}".title()


def _life(random: Random, name: str) -> _Life:
    return _Life(
        name=name,
        trade=random.choice(_TRADES),
        town=invented_word(random).title(),
        village=invented_word(random).title(),
        born=random.randrange(1500, 1900),
        teacher=_name(random),
        work=random.choice(_WORKS),
    )


def build_question(material: Material, size: int, random: Random, *, hops: int) -> Sample:
    """Ask for something in one document, or in the one that another leads to, among ``size`` more.

    Args:
        material: not used, for all is invented.
        size: documents that distract.
        random: draws lives, the question, and the order.
        hops: documents that the answer takes, 1 or 2.
    """
    del material
    pupil = _life(random, _name(random))
    teacher = _life(random, pupil.teacher)
    who, asked = (pupil.name, pupil) if hops == 1 else (f"the teacher of {pupil.name}", teacher)
    question, answer = random.choice(
        [
            (f"In which town was {who} born?", asked.town),
            (f"In which village was the workshop of {who}?", asked.village),
            (f"In which year was {who} born?", str(asked.born)),
        ]
    )
    # Each document draws its place with itself, so that more of them move no others.
    lives = [(random.random(), life) for life in (pupil, teacher)[:hops]]
    lives += [(random.random(), _life(random, _name(random))) for _ in range(size)]
    lives.sort(key=lambda placed: placed[0])
    context = "\n\n".join(
        f"Document {i}:\n{life.document}" for i, (_, life) in enumerate(lives, start=1)
    )
    return Sample(_TEMPLATE.format(context=context, question=question), "Answer:", (answer,))


def _task(name: str, hops: int) -> RulerTask:
    return RulerTask(
        name=name,
        answer_tokens=32,
        upper=lambda material: material.length,
        build=partial(build_question, hops=hops),
        score=string_match_part,
    )


QUESTION_TASKS = (_task("qa_1", 1), _task("qa_2", 2))
