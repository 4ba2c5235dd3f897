"""What begins like a refusal, and answers that merely share a word with one."""

from __future__ import annotations

import pytest

from adapters.cache_refusals import begins_like_refusal


@pytest.mark.parametrize(
    "text",
    [
        "I'm sorry, but I can't help with that.",
        "I\u2019m sorry, but I can\u2019t assist with that request.",
        "Sorry, I cannot provide medical advice.",
        "I am really sorry, however we are unable to do this.",
        "I apologize, but I don't have access to your account.",
        "I cannot assist with that.",
        "I can't provide that information.",
        "Unfortunately, I cannot help you here.",
        "I'm unable to browse the web.",
        "I must decline.",
        "As an AI language model, I have no opinions.",
        "I'm just an AI.",
        "**I'm sorry, but I can't do that.**",
        "\n I won't help with this.",
        "Es tut mir leid, aber dabei kann ich nicht helfen.",
        "Je suis désolé, mais je ne peux pas vous aider.",
        "Lo siento, pero no puedo ayudar con eso.",
        "Mi dispiace, ma non posso aiutarti.",
        "Desculpe, mas não posso ajudar.",
        "Извините, но я не могу помочь.",
        "很抱歉\uff0c我无法提供帮助。",
        "申し訳ありませんが、お手伝いできません。",
        "죄송합니다. 도와드릴 수 없습니다.",
    ],
)
def test_refusals(text: str) -> None:
    assert begins_like_refusal(text)


@pytest.mark.parametrize(
    "text",
    [
        "You can cancel at any time in your settings.",
        "Sorry to hear that! Open Settings and choose Cancel.",
        "We can't wait to see you: open Settings first.",
        "As an airline, we charge 20 EUR.",
        "Artificial intelligence is a field of computer science.",
        "If you cannot log in, reset your password.",
        "I can help with that: open Settings.",
        "Ich kann das gerne erklären: Öffnen Sie die Einstellungen und wählen Sie dort den Punkt Kündigen.",
        "The phrase 'I'm sorry, but I can't help' is what models say.",
        "",
    ],
)
def test_answers(text: str) -> None:
    assert not begins_like_refusal(text)


def test_only_the_beginning_is_read() -> None:
    assert not begins_like_refusal("Sorry" + " very" * 100_000 + " I can't")
