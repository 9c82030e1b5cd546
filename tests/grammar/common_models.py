"""Classes and types that people make schemas of: of pydantic, and out of documentations."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import Enum, IntEnum
from ipaddress import IPv4Address
from pathlib import Path
from typing import Annotated, Any, Generic, Literal, NamedTuple, TypeVar

from pydantic import (
    AnyUrl,
    BaseModel,
    ConfigDict,
    Discriminator,
    Field,
    Json,
    PastDate,
    PositiveInt,
    RootModel,
    SecretStr,
    StringConstraints,
    Tag,
    conlist,
    constr,
)
from typing_extensions import TypedDict

T = TypeVar("T")
Short = Annotated[str, Field(max_length=12)]
Shorts = Annotated[list[Short], Field(max_length=2)]


class Person(BaseModel):
    """A plain one."""

    name: Short
    age: int


class Event(BaseModel):
    """OpenAI's first example."""

    name: Short
    date: Short
    participants: Shorts


class Step(BaseModel):
    """A part of the next."""

    explanation: Short
    output: Short


class MathReasoning(BaseModel):
    """OpenAI's chain of thought."""

    steps: Annotated[list[Step], Field(max_length=2)]
    final_answer: Short


class Paper(BaseModel):
    """OpenAI's extraction."""

    title: Short
    authors: Shorts
    abstract: Short
    keywords: Shorts


class Category(str, Enum):
    """Words of its next."""

    VIOLENCE = "violence"
    SELF_HARM = "self_harm"


class Compliance(BaseModel):
    """OpenAI's moderation: an enumeration or none."""

    is_violating: bool
    category: Category | None
    explanation_if_violating: Short | None


class Attribute(BaseModel):
    """A part of the next."""

    name: Short
    value: Short


class UI(BaseModel):
    """OpenAI's user interface: itself, and an enumeration."""

    type: Literal["div", "button", "form"]
    label: Short
    children: Annotated[list[UI], Field(max_length=1)]
    attributes: Annotated[list[Attribute], Field(max_length=1)]


class Joke(BaseModel):
    """LangChain's."""

    setup: Short = Field(description="The setup of the joke")
    punchline: Short = Field(description="The punchline to the joke")
    rating: int | None = Field(default=None, description="How funny, from 1 to 10")


class Conversational(BaseModel):
    """LangChain's other answer."""

    response: Short


class FinalResponse(BaseModel):
    """LangChain's union of both."""

    final_output: Joke | Conversational


class Plan(BaseModel):
    """LangGraph's."""

    steps: Shorts = Field(description="different steps to follow, in sorted order")


class GradeDocuments(BaseModel):
    """LangGraph's grader."""

    binary_score: str = Field(description="'yes' or 'no'", pattern="^(yes|no)$")


class RouteQuery(BaseModel):
    """LangChain's router."""

    datasource: Literal["python_docs", "js_docs", "golang_docs"]


class Search(BaseModel):
    """LangChain's query analysis: bounds, dates and None."""

    content_search: Short
    min_view_count: int | None = Field(None, ge=0)
    earliest_publish_date: datetime | None = None


class UserDetail(BaseModel):
    """Instructor's: a Maybe."""

    result: Person | None = None
    error: bool = False
    message: Short | None = None


class Priority(IntEnum):
    """Whole numbers."""

    LOW = 1
    HIGH = 10


class Ticket(BaseModel):
    """Instructor's tickets: an IntEnum, a list of whole numbers, a default."""

    priority: Priority
    subtasks: Annotated[list[PositiveInt], Field(max_length=3)] = []
    name: Short = "none"


class Box(BaseModel, Generic[T]):
    """A generic."""

    inside: T


class Aliased(BaseModel):
    """Names that are not Python's."""

    model_config = ConfigDict(populate_by_name=True)
    user_id: int = Field(alias="user-id")
    of: Short = Field(alias="@of")


class Forbids(BaseModel):
    """No others."""

    model_config = ConfigDict(extra="forbid")
    a: bool = True


class Allows(BaseModel):
    """Others."""

    model_config = ConfigDict(extra="allow")
    a: bool


class Settings(BaseModel):
    """Dictionaries of dictionaries, numbers and lists."""

    limits: Annotated[dict[str, int], Field(max_length=2)]
    groups: Annotated[dict[Short, Shorts], Field(max_length=1)]


class Constrained(BaseModel):
    """Constraints of every kind."""

    even: int = Field(multiple_of=2, ge=0, le=100)
    share: float = Field(gt=0, lt=1)
    code: constr(pattern=r"^[A-Z]{2}\d{3}$")  # type: ignore[valid-type]  # pydantic's old spelling
    tags: conlist(Short, min_length=1, max_length=2)  # type: ignore[valid-type]  # likewise
    slug: Annotated[str, StringConstraints(pattern=r"^\w+(-\w+)*$", max_length=9)]


class Addresses(BaseModel):
    """Formats of pydantic's."""

    ip: IPv4Address
    path: Path
    secret: SecretStr
    born: PastDate


class Encoded(BaseModel):
    """Text that is JSON."""

    config: Json[Any]


class Site(BaseModel):
    """An address of any kind."""

    url: AnyUrl


class Point(NamedTuple):
    """A tuple with names."""

    x: float
    y: float


class Film(TypedDict, total=False):
    """What may be left out."""

    title: Short
    year: int


@dataclass
class Order:
    """A data class."""

    item: Short
    amount: int = 1


class Circle(BaseModel):
    """Told by a nested tag."""

    shape: Literal["circle"]
    radius: float


class Square(BaseModel):
    """Told by one of several words."""

    shape: Literal["square", "box"]
    side: float


class Add(BaseModel):
    """A node."""

    op: Literal["add"] = "add"
    left: Expression
    right: Expression


class Number(BaseModel):
    """A leaf."""

    op: Literal["number"] = "number"
    value: int = Field(ge=0, le=9)


Expression = Annotated[Add | Number, Field(discriminator="op")]
Add.model_rebuild()


def _kind(value: Any) -> str:
    return "circle" if "radius" in value else "square"


class Drawing(BaseModel):
    """A discriminator that is a function: no property tells the two apart by a constant."""

    shape: Annotated[
        Annotated[Circle, Tag("circle")] | Annotated[Square, Tag("square")], Discriminator(_kind)
    ]


class Matrix(RootModel[list[list[int]]]):
    """Lists of lists."""


class Json_(RootModel["dict[str, Json_] | list[Json_] | str | int | float | bool | None"]):
    """Any JSON, spelled out."""


MODELS: list[type[BaseModel]] = [
    Person, Event, MathReasoning, Paper, Compliance, UI, Joke, FinalResponse, Plan, GradeDocuments,
    RouteQuery, Search, UserDetail, Ticket, Box[int], Box[Person], Aliased, Forbids, Allows,
    Settings, Constrained, Addresses, Encoded, Site, Drawing, Matrix, Json_,
]  # fmt: skip

TYPES: dict[str, Any] = {
    "a NamedTuple": Point, "a TypedDict": Film, "a data class": Order, "an expression": Expression,
    "a list of models": Annotated[list[Person], Field(max_length=2)],
    "a set of words": Literal["a", "b"],
    "a union of shapes": Annotated[Circle | Square, Field(discriminator="shape")],
    "a union without a tag": Person | Joke,
    "a sequence": Annotated[Sequence[bool], Field(max_length=3)],
    "a tuple of any length": Annotated[tuple[int, ...], Field(max_length=3)],
    "a fixed tuple": tuple[int, str, bool],
    "a number": float, "a truth value": bool, "nothing": None, "a date": datetime,
    "bytes": bytes,
}  # fmt: skip
