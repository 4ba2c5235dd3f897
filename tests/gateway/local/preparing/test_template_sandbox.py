from __future__ import annotations

import time
from typing import Any

import pytest

from adapters.schema import InvalidRequest
from gateway.local.preparing.template import ChatTemplate
from gateway.local.preparing.template_sandbox import MAX_RENDER_S, MAX_SOURCE_CHARS, Allowance, TooMuch

HI: list[dict[str, Any]] = [{"role": "user", "content": "hi"}]


def render(source: str) -> str:
    return ChatTemplate(source, bos="<s>", eos="</s>").render(HI, None)


def grown(step: str, start: str = "'aaaaaaaa'") -> str:
    """A template that does this to `n.x` sixty times."""
    loop = f"{{% for i in range(60) %}}{{% set n.x = {step} %}}{{% endfor %}}"
    return f"{{% set n=namespace(x={start}) %}}{loop}{{{{ n.x }}}}"


@pytest.mark.parametrize(
    "source",
    [
        "{% for a in range(99999) %}{% for b in range(99999) %}{{ '' }}{% endfor %}{% endfor %}",
        "{% macro f(n) %}{% if n %}{{ f(n-1) }}{{ f(n-1) }}{% endif %}{% endmacro %}{{ f(60) }}",
        "{% for i in range(99999) %}{{ range(99999) | sum }}{% endfor %}",
        "{% for i in range(99999) %}{% for j in range(99999) %}{{ loop.last }}{% endfor %}{% endfor %}",
    ],
    ids=["loops", "macros", "filters", "loop variables"],
)
def test_nothing_takes_for_ever(source: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gateway.local.preparing.template_sandbox.MAX_RENDER_S", 0.1)
    started_s = time.thread_time()
    with pytest.raises(InvalidRequest, match="TooMuch: it takes more than"):
        render(source)
    assert time.thread_time() - started_s < 1.5


@pytest.mark.parametrize(
    "source",
    [
        "{{ 'a' * 10**9 }}",
        "{{ ('a' * 100000) * 100000 }}",
        "{{ 10**10**10 }}",
        "{{ '%1000000000d' % 1 }}",
        "{{ '%*d' % (1000000000, 1) }}",
        "{{ '{:>1000000000}'.format(1) }}",
        "{{ '{:{w}}'.format(1, w=1000000000) }}",
        "{% set x = 'a' * 1000000 %}{{ x.replace('', x) }}",
        "{% set x = 'a' * 1000000 %}{{ x | replace('a', x) }}",
        "{% set x = 'a' * 1000000 %}{{ x.join(range(100000)) }}",
        "{% set x = 'a' * 1000000 %}{{ range(100000) | join(x) }}",
        "{{ ('\\n' * 100000) | indent(100000) }}",
        "{% for i in range(99999) %}{{ 'a' * 100000 }}{% endfor %}",
        "{% set x %}{% for i in range(99999) %}{{ 'a' * 100000 }}{% endfor %}{% endset %}",
        "{{ [1] | batch(1000000000, 'a') | list }}",
        "{{ ['a' * 1000000] * 100000 }}",
        grown("n.x ~ n.x"),
        grown("n.x + n.x"),
        grown("n.x * n.x", "9"),
        grown("n.x + n.x", "[1]"),
        grown("[n.x, n.x]"),
        grown("(n.x, n.x)"),
        grown("{'a': n.x, 'b': n.x}"),
        grown("dict(a=n.x, b=n.x)"),
    ],
)
def test_nothing_fills_the_memory(source: str) -> None:
    started_s = time.thread_time()
    with pytest.raises(InvalidRequest, match="TooMuch"):
        render(source)
    assert time.thread_time() - started_s < MAX_RENDER_S


@pytest.mark.parametrize(
    "source",
    [
        "{{ 'a'.ljust(9) }}",
        "{{ 'a' | center(9) }}",
        "{{ messages | attr('__class__') }}",
        "{{ messages | _each }}",
        "{{ ['a'] | map('replace', 'a', 'b') | list }}",
        "{{ 'a'.zfill(9) }}",
        "{{ 'a'.encode() }}",
        "{{ lipsum() }}",
        "{{ cycler('a').reset() }}",
        "{{ messages[0].update(a=1) }}",
        "{{ ''.__class__.mro() }}",
        "{% import 'x' as y %}",
        "{% include 'x' %}",
        "{{ strftime_now('%1000000000d') }}",
        "{{ messages | tojson(indent=1000000) }}",
    ],
)
def test_what_no_template_needs_is_out_of_reach(source: str) -> None:
    with pytest.raises(InvalidRequest, match="chat template refuses"):
        render(source)


@pytest.mark.parametrize(
    "source",
    [
        "{{ '{0.__class__}'.format(messages) }}",
        "{{ messages.__class__ }}",
        "{{ messages | map(attribute='__class__') | join }}",
        "{{ range.__self__ }}{{ namespace.__init__ }}{{ self.__dict__ }}",
    ],
)
def test_attributes_of_python_are_nothing_at_all(source: str) -> None:
    assert render(source) == ""


@pytest.mark.parametrize(
    "source",
    [
        "{{ dict(*[1]) }}",
        "{{ " + "(" * 50_000 + "1" + ")" * 50_000 + " }}",
        "{% if a %}" * 3000 + "{% endif %}" * 3000,
        "{% for a in b %}" * 30 + "{% endfor %}" * 30,
        "x" * (MAX_SOURCE_CHARS + 1),
    ],
    ids=["unpacking", "parentheses", "ifs", "fors", "long"],
)
def test_what_cannot_be_compiled_is_refused_when_it_is_loaded(source: str) -> None:
    with pytest.raises(ValueError, match="does not parse"):
        ChatTemplate(source, bos="", eos="")


@pytest.mark.parametrize(
    ("source", "text"),
    [
        ("{% for m in messages %}{{ loop.index }}{{ loop.last }}{{ m['role'] ~ ':' }}{% endfor %}", "1Trueuser:"),
        ("{{ 'a,b'.split(',') | join('-') }}{{ [1, 2][1:] }}{{ {'a': (1, 2)}.a }}", "a-b[2](1, 2)"),
        ("{{ '%s is %d' % ('x', 5) }}{{ '{:.2f}'.format(1.5) }}{{ 2 ** 10 }}{{ 'ab' * 2 }}", "x is 51.501024abab"),
        ("{{ messages | selectattr('role', 'equalto', 'user') | list | length }}{{ 'a' in 'ab' }}", "1True"),
        ("{% set n = namespace(x=0) %}{% for i in range(3) %}{% set n.x = n.x + i %}{% endfor %}{{ n.x }}", "3"),
        ("{% if false %}{{ 1 | unknown }}{% endif %}{{ ('[1]' | from_json)[0] }}", "1"),
        ("{% macro m(x) %}<{{ x }}>{{ caller() }}{% endmacro %}{% call m(1) %}!{% endcall %}", "<1>!"),
        ("{% for k, v in {'a': 1}.items() %}{{ k }}{{ v }}{% else %}none{% endfor %}", "a1"),
        ("{% for k, v in {'b': 1, 'a': 2} | dictsort %}{{ k }}{% endfor %}", "ab"),
        ("{{ 'x\ny' | indent(2) }}{{ ' a ' | trim | upper }}{{ none | default('d', true) }}", "x\n  yAd"),
    ],
)  # fmt: skip
def test_what_templates_do_every_day_works(source: str, text: str) -> None:
    assert render(source) == text


def test_more_to_render_allows_for_more() -> None:
    small, large = Allowance(0), Allowance(10_000_000)
    with pytest.raises(TooMuch):
        small.spend(20_000_000)
    large.spend(20_000_000)
    long = "word " * 2_000_000
    made = ChatTemplate("{% for m in messages %}{{ m.content | trim }}{% endfor %}", bos="", eos="")
    assert len(made.render([{"role": "user", "content": long}], None)) == len(long) - 1
