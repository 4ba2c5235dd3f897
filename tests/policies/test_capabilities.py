from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from policies.capabilities import filter_candidates, fits, is_in, lacking
from policies.choosing import Refused
from policies.matching import candidates
from policies.route_rules import NO_NEEDS, Capability, Needs, Requirements
from policies.vocabulary import Deployment, Route, Strategy, Target

TOOLS, IMAGES = Capability.TOOLS, Capability.IMAGES
WITH_TOOLS = Needs(frozenset({TOOLS}))
IN_EU = Needs(requires=Requirements(frozenset({"eu"})))
SECRET = Needs(requires=Requirements(data_classes=frozenset({"secret"})))


def one(name: str = "d", has: str = "", lacks: str = "", **known: object) -> Deployment:
    made = Deployment(name, "p", "openai", "m", has=words(has), lacks=words(lacks))
    return replace(made, **known)  # type: ignore[arg-type]  # the fields of a deployment


def words(text: str) -> frozenset[Capability]:
    return frozenset(map(Capability, text.split()))


def route(*targets: Deployment | Route, fallbacks: tuple[Deployment | Route, ...] = (), **said: object) -> Route:
    made = Route("r", ("r",), Strategy.ORDERED, tuple(map(Target, targets)), fallbacks)
    return replace(made, **said)  # type: ignore[arg-type]  # the fields of a route


def kept(of: Route, needs: Needs) -> tuple[list[str], list[tuple[str, Refused, str]]]:
    capable, rejected = filter_candidates(of, candidates(of), needs)
    return [d.id for d in capable], [(r.deployment.id, r.reason, r.detail) for r in rejected]


def test_where_all_can_it_is_the_very_same_tuple() -> None:
    every = (one("a", has="tools"), one("b"))
    assert filter_candidates(route(*every), every, WITH_TOOLS) == (every, ())
    assert filter_candidates(route(*every), every, WITH_TOOLS)[0] is every
    resident = (one("a", region="eu"),)
    assert filter_candidates(route(*resident), resident, IN_EU)[0] is resident


def test_what_is_unknown_rules_nobody_out() -> None:
    of = route(one("has", has="tools"), one("lacks", lacks="tools images"), one("unknown"))
    assert kept(of, WITH_TOOLS) == (["has", "unknown"], [("lacks", Refused.CAPABILITY, "tools")])


def test_a_detail_names_all_that_is_missing() -> None:
    needs = Needs(frozenset({TOOLS, IMAGES, Capability.STREAM}))
    assert kept(route(one(lacks="tools images")), needs)[1] == [("d", Refused.CAPABILITY, "images, tools")]


# --- context ---


@pytest.mark.parametrize(
    ("context_tokens", "output_tokens", "expected"),
    [(None, 10**9, True), (100, 40, True), (100, 41, False), (60, None, True), (59, None, False), (100, 0, True)],
)
def test_prompt_and_answer_have_to_fit(
    context_tokens: int | None, output_tokens: int | None, *, expected: bool
) -> None:
    assert fits(one(context_tokens=context_tokens), Needs(input_tokens=60, output_tokens=output_tokens)) is expected


def test_what_is_too_long_goes_where_there_is_room() -> None:
    of = route(one("small", context_tokens=100), one("large", context_tokens=200), one("unknown"))
    capable, rejected = kept(of, Needs(input_tokens=90, output_tokens=20))
    assert (capable, rejected) == (
        ["large", "unknown"],
        [("small", Refused.CONTEXT, "110 tokens, room for 100")],
    )


def test_an_answer_that_has_room_nowhere_goes_where_the_prompt_has() -> None:
    of = route(one("tiny", context_tokens=50), one("small", context_tokens=100))
    capable, rejected = kept(of, Needs(input_tokens=90, output_tokens=10**6))
    assert (capable, [refused[0] for refused in rejected]) == (["small"], ["tiny"])


def test_a_prompt_that_has_room_nowhere_goes_nowhere() -> None:
    capable, rejected = kept(route(one(context_tokens=50)), Needs(input_tokens=90, output_tokens=10))
    assert (capable, rejected[0][1]) == ([], Refused.CONTEXT)


# --- residency ---


@pytest.mark.parametrize(
    ("region", "required", "expected"),
    [
        ("eu", "eu", True),
        ("eu-west-1", "eu", True),
        ("eu-west-1", "eu-west", True),
        ("europe", "eu", False),
        ("eu", "eu-west-1", False),
        ("us-eu", "eu", False),
        (None, "eu", False),
        ("", "eu", False),
    ],
)
def test_a_region_lies_in_those_that_its_name_begins_with(region: str | None, required: str, *, expected: bool) -> None:
    assert is_in(region, required) is expected


def test_who_is_elsewhere_or_nowhere_may_not() -> None:
    of = route(one("in", region="eu-west-1"), one("out", region="us"), fallbacks=(one("nowhere"),))
    assert kept(of, IN_EU) == (
        ["in"],
        [("out", Refused.REGION, "not in eu"), ("nowhere", Refused.REGION, "not in eu")],
    )


def test_all_regions_that_are_required_have_to_be_met() -> None:
    both = Needs(requires=Requirements(frozenset({"eu", "eu-west"})))
    assert kept(route(one("w", region="eu-west-1"), one("e", region="eu-east-1")), both)[0] == ["w"]


def test_data_of_a_class_goes_only_to_those_that_name_it() -> None:
    of = route(
        one("named", data_classes=frozenset({"secret", "other"})), one("other", data_classes=frozenset({"other"}))
    )
    assert kept(of, SECRET) == (["named"], [("other", Refused.DATA_CLASS, "not for secret")])


def test_who_names_no_class_takes_only_calls_without_one() -> None:
    assert kept(route(one()), SECRET)[0] == []
    assert kept(route(one()), NO_NEEDS)[0] == ["d"]


def test_what_the_route_itself_requires_binds_too() -> None:
    of = route(one("in", region="eu"), one("out", region="us"), requires=IN_EU.requires)
    assert kept(of, NO_NEEDS)[0] == ["in"]


@pytest.mark.parametrize("where", ["targets", "fallbacks", "context_fallbacks", "content_fallbacks"])
def test_what_a_route_inside_requires_binds_its_own(where: str) -> None:
    inner = route(one("in", region="eu"), one("out", region="us"), requires=IN_EU.requires, name="inner")
    inside: object = (Target(inner),) if where == "targets" else (inner,)
    of = replace(route(one("free")), **{where: inside})  # type: ignore[arg-type]  # a field of a route
    capable, rejected = kept(of, NO_NEEDS)
    assert "out" not in capable
    assert [name for name, _, _ in rejected] == ["out"]


def test_residency_is_told_before_ability() -> None:
    needs = Needs(frozenset({TOOLS}), requires=IN_EU.requires)
    assert kept(route(one(lacks="tools", region="us")), needs)[1][0][1] is Refused.REGION


# --- who may begin ---


def test_those_for_refused_content_alone_are_nobody() -> None:
    of = route(one("a", lacks="tools"), content_fallbacks=(one("lenient"),))
    assert kept(of, WITH_TOOLS)[0] == []


def test_those_for_long_prompts_begin_where_the_prompt_is_too_long_and_only_there() -> None:
    of = route(one("a", lacks="tools", context_tokens=100), context_fallbacks=(one("large"),))
    assert kept(of, Needs(input_tokens=101))[0] == ["large"]
    assert kept(of, WITH_TOOLS)[0] == []


def test_a_route_inside_counts_with_its_own_targets_and_fallbacks() -> None:
    inner = route(one("b", lacks="tools"), fallbacks=(one("x"),), name="inner")
    assert kept(route(inner), WITH_TOOLS)[0] == ["x"]


# --- all together ---

deployments = st.builds(
    one,
    has=st.sampled_from(["", "images", "stream images"]),
    lacks=st.sampled_from(["", "tools", "tools logprobs"]),
    region=st.sampled_from([None, "eu", "eu-west-1", "us"]),
    context_tokens=st.none() | st.integers(1, 200),
    data_classes=st.sampled_from([frozenset(), frozenset({"secret"})]),
)
asked = st.builds(
    Needs,
    st.frozensets(st.sampled_from([TOOLS, IMAGES, Capability.LOGPROBS])),
    st.integers(0, 100),
    st.none() | st.integers(0, 150),
    st.builds(Requirements, st.frozensets(st.sampled_from(["eu", "us"])), st.frozensets(st.sampled_from(["secret"]))),
)


@given(st.lists(deployments, min_size=1, max_size=6), asked)
def test_each_is_either_kept_or_refused_with_a_reason(made: list[Deployment], needs: Needs) -> None:
    every = tuple(replace(each, name=f"d{index}") for index, each in enumerate(made))
    of = route(*every)
    capable, rejected = filter_candidates(of, every, needs)
    assert sorted(d.name for d in (*capable, *(r.deployment for r in rejected))) == [d.name for d in every]
    prompt = needs._replace(output_tokens=None)
    for deployment in capable:
        assert lacking(of, deployment, prompt) is None
        assert not needs.capabilities & deployment.lacks
        assert all(is_in(deployment.region, region) for region in needs.requires.regions)
        assert needs.requires.data_classes <= deployment.data_classes
    for refused in rejected:
        assert lacking(of, refused.deployment, needs) is not None
