from __future__ import annotations

import json

from gateway.signals.profiles.langfuse import langfuse
from gateway.signals.profiles.mlflow import mlflow
from gateway.signals.profiles.openinference import openinference
from gateway.signals.profiles.shown_messages import shown_to_openinference
from gateway.signals.span_values import Kind, Shown, Span, Told
from policies.vocabulary import Endpoint

CALL = {"type": "tool_call", "name": "weather", "arguments": {"city": "Oslo"}, "id": "c1"}
SHOWN = Shown(
    [
        {"role": "user", "parts": [{"type": "text", "content": "Rain?"}, {"type": "text", "content": "Now?"}]},
        {"role": "tool", "parts": [{"type": "tool_call_response", "response": {"mm": 12}, "id": "c1"}]},
    ],
    [{"role": "assistant", "parts": [CALL], "finish_reason": "tool_calls"}],
    [{"type": "text", "content": "Be brief."}],
    [{"type": "function", "name": "weather"}],
)
TOLD = Told(Endpoint.CHAT, "gpt-4o", "openai", None, None, shows_usage=True, shown=SHOWN)
SPAN = Span("chat gpt-4o", Kind.CLIENT, "1" * 32, "2" * 16, None, 0, 1, {}, told=TOLD)


def test_openinference_has_a_name_for_each_word() -> None:
    told = shown_to_openinference(SHOWN)
    assert {name: value for name, value in told.items() if name.startswith("llm.")} == {
        "llm.input_messages.0.message.role": "system",
        "llm.input_messages.0.message.content": "Be brief.",
        "llm.input_messages.1.message.role": "user",
        "llm.input_messages.1.message.content": "Rain?\nNow?",
        "llm.input_messages.2.message.role": "tool",
        "llm.input_messages.2.message.tool_call_id": "c1",
        "llm.input_messages.2.message.content": '{"mm":12}',
        "llm.output_messages.0.message.role": "assistant",
        "llm.output_messages.0.message.tool_calls.0.tool_call.function.name": "weather",
        "llm.output_messages.0.message.tool_calls.0.tool_call.function.arguments": '{"city":"Oslo"}',
        "llm.output_messages.0.message.tool_calls.0.tool_call.id": "c1",
        "llm.tools.0.tool.json_schema": '{"type":"function","name":"weather"}',
    }
    assert told.items() <= openinference(SPAN).attributes.items()


def test_others_have_one_for_each_side() -> None:
    asked = [{"role": "system", "parts": SHOWN.instructions}, *SHOWN.asked]
    of_langfuse, of_mlflow = langfuse(SPAN).attributes, mlflow(SPAN).attributes
    assert json.loads(str(of_langfuse["langfuse.observation.input"])) == asked
    assert json.loads(str(of_langfuse["langfuse.observation.output"])) == SHOWN.answered
    assert json.loads(str(of_mlflow["mlflow.spanInputs"])) == {"messages": asked}
    assert json.loads(str(of_mlflow["mlflow.spanOutputs"])) == {"messages": SHOWN.answered}


def test_where_nothing_may_be_seen_nobody_is_told() -> None:
    silent = SPAN._replace(told=TOLD._replace(shown=None))
    for profile in (langfuse, mlflow, openinference):
        assert "Rain?" not in json.dumps(profile(silent).attributes)
