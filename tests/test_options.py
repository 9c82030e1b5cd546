"""An option of a call is declared once: everything that takes options takes a new one."""

from __future__ import annotations

import ast
import subprocess
import sys
from dataclasses import fields
from inspect import Parameter, signature
from pathlib import Path
from typing import Any, get_args, get_type_hints

import pytest

from longctx import LongContextLLM
from longctx.agents import Agent, AgentRunOptions
from longctx.cli.ask import ask
from longctx.cli.chat import chat
from longctx.documents import AskOptions, DocumentQA
from longctx.engine import GenerationSettings
from longctx.options import (
    ANSWER_OPTIONS,
    CHAT_OPTIONS,
    SAMPLING_OPTIONS,
    AnswerOptions,
    ChatOptions,
    SamplingOptions,
    described,
)
from longctx.planner import PlanOptions, plan_context
from longctx.protocols import BatchChatModel, ChatModel
from longctx.remote import RemoteLLM
from longctx.sampling import SAMPLING
from longctx.server.openai.requests import ChatRequest, CompletionRequest
from longctx.testing import ScriptedChatModel

ROOT = Path(__file__).parents[1]
TAKES: list[tuple[Any, Any]] = [
    *((getattr(LongContextLLM, n), ChatOptions) for n in ("chat", "stream_chat", "chat_batch")),
    *((getattr(LongContextLLM, n), ChatOptions) for n in ("achat", "astream_chat")),
    *((getattr(LongContextLLM, n), AnswerOptions) for n in ("generate", "stream")),
    *((getattr(RemoteLLM, n), ChatOptions) for n in ("chat", "stream_chat", "chat_batch")),
    *((getattr(RemoteLLM, n), ChatOptions) for n in ("achat", "astream_chat")),
    *((getattr(ChatModel, n), ChatOptions) for n in ("chat", "stream_chat")),
    (BatchChatModel.chat_batch, ChatOptions),
    *((getattr(ScriptedChatModel, n), ChatOptions) for n in ("chat", "stream_chat")),
    *((getattr(Agent, n), AgentRunOptions) for n in ("run", "stream", "resume")),
    *((getattr(DocumentQA, n), AskOptions) for n in ("ask", "stream", "aask")),
    (LongContextLLM.__init__, PlanOptions),
    (plan_context, PlanOptions),
]

# One line more in options.py, and nothing else: what takes the option by then?
NEW_OPTION = """
import sys
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path

path = Path(sys.argv[1])
line = "    on_progress: ProgressCallback | None\\n"
source = path.read_text()
assert source.count(line) == 1
spec = spec_from_file_location("longctx.options", path)
options = sys.modules["longctx.options"] = module_from_spec(spec)
exec(compile(source.replace(line, line + "    shiny: int | None\\n"), path, "exec"), vars(options))

import httpx, json
from longctx import LongContextLLM, RequestError
from longctx.agents import Agent
from longctx.remote import RemoteLLM
from longctx.sampling import SAMPLING
from longctx.server.openai.requests import ChatRequest, CompletionRequest
from longctx.testing import ScriptedChatModel

ASKED = [{"role": "user", "content": "Hello"}]
scripted = ScriptedChatModel(["Yes.", "Yes.", "Yes."])
scripted.chat(ASKED, shiny=3)
scripted.stream_chat(ASKED, shiny=3).close()
Agent(scripted).run("Hello", shiny=3)
assert [call.options["shiny"] for call in scripted.calls] == [3, 3, 3]

bodies = []

def server(request):
    if request.url.path == "/v1/models":
        entry = {"id": "m", "object": "model", "owned_by": "x", "max_model_len": 4096}
        return httpx.Response(200, json={"object": "list", "data": [entry]})
    bodies.append(json.loads(request.content))
    chunk = {"choices": [{"index": 0, "delta": {"content": "Yes."}, "finish_reason": "stop"}]}
    return httpx.Response(200, text=f"data: {json.dumps(chunk)}\\n\\ndata: [DONE]\\n\\n")

client = httpx.Client
httpx.Client = lambda **o: client(transport=httpx.MockTransport(server), **o)
remote = RemoteLLM("http://host")
remote.chat(ASKED, shiny=3)
remote.chat_batch([ASKED], shiny=3)
assert [body["shiny"] for body in bodies] == [3, 3]

with LongContextLLM(sys.argv[2], 512, n_threads=1, reserve_output=8) as llm:
    calls = [llm.chat, llm.stream_chat, lambda m, **o: llm.chat_batch([m], **o)]
    for call in calls:
        call(ASKED, max_tokens=1, shiny=3)
    llm.generate("Hello", max_tokens=1, shiny=3)
    for call in [*calls, scripted.chat, remote.chat, lambda m, **o: Agent(scripted).run("Hi", **o)]:
        try:
            call(ASKED, shinny=3)
        except RequestError as error:
            assert "did you mean shiny?" in str(error), error
        else:
            raise AssertionError(call)

sys.path.insert(0, sys.argv[3])
try:
    import llm as _
except ImportError:
    pass
else:
    from llm_longctx import LongCtxOptions
    assert LongCtxOptions(shiny="3").given(options.ANSWER_OPTIONS) == {"shiny": 3}
"""


@pytest.mark.parametrize(("method", "kind"), TAKES, ids=lambda value: value.__qualname__)
def test_a_signature_names_no_option(method: Any, kind: Any) -> None:
    """It unpacks the type that declares them."""
    parameters = signature(method).parameters
    (options,) = (p for p in parameters.values() if p.kind is Parameter.VAR_KEYWORD)
    hint = get_type_hints(method)[options.name]
    assert get_args(hint) == (kind,)
    assert not parameters.keys() & kind.__annotations__.keys()


def test_a_new_option_is_one_line() -> None:
    """Façade, remote, scripted model, agent and the plugin of llm take it, and none drops it."""
    arguments = [
        str(ROOT / "longctx" / "options.py"),
        str(ROOT / "tests" / "models" / "tiny-longctx.gguf"),
        str(ROOT / "plugins" / "llm-longctx"),
    ]
    done = subprocess.run(
        [sys.executable, "-c", NEW_OPTION, *arguments],
        capture_output=True,
        text=True,
        check=False,
        cwd=ROOT,
    )
    assert done.returncode == 0, done.stderr


def test_every_option_is_obeyed() -> None:
    """None is declared, taken and dropped: a schema becomes a guide, progress is the reader's."""
    settings = {field.name for field in fields(GenerationSettings)} - {"sampling", "n_expected"}
    others = ANSWER_OPTIONS - SAMPLING_OPTIONS - {"response_schema", "on_progress"}
    assert others | {"guide"} == settings
    assert set(SAMPLING) == SAMPLING_OPTIONS


def test_every_option_is_said() -> None:
    """The types' documentation has each, which command lines and forms show."""
    assert set(described(AnswerOptions)) == ANSWER_OPTIONS
    assert set(described(SamplingOptions)) == SAMPLING_OPTIONS


def test_every_way_in_samples() -> None:
    """The server's requests and the commands take each option of sampling without naming it."""
    assert ChatRequest.model_fields.keys() >= SAMPLING_OPTIONS
    assert CompletionRequest.model_fields.keys() >= SAMPLING_OPTIONS
    for command in (chat, ask):
        assert signature(command).parameters.keys() >= SAMPLING_OPTIONS - {"logit_bias"}


@pytest.mark.parametrize(
    "path", sorted((ROOT / "plugins").glob("*/*/**/*.py")), ids=lambda path: path.name
)
def test_plugins_copy_no_names(path: Path) -> None:
    """Sets and calls in them derive from the types; fields and documentation may name options."""
    if "tests" in path.parts:
        return
    known = CHAT_OPTIONS | PlanOptions.__annotations__.keys()
    for node in ast.walk(ast.parse(path.read_text())):
        names: set[Any] = set()
        if isinstance(node, ast.Set | ast.List | ast.Tuple):
            names = {e.value for e in node.elts if isinstance(e, ast.Constant)}
        elif isinstance(node, ast.Dict):
            names = {key.value for key in node.keys if isinstance(key, ast.Constant)}
        elif isinstance(node, ast.Call):
            names = {keyword.arg for keyword in node.keywords}
        copied = names & known
        assert len(copied - {"tools", "tool_choice", "response_schema", "stop"}) < 2, (
            f"line {node.lineno}: {', '.join(sorted(copied))}"
        )
