import pytest

from gateway.call import Call
from gateway.no_candidates import DOES, endpoint_refused, key_refused, nobody_left, unknown_model
from policies.choosing import Refused, Rejection
from policies.route_rules import NO_REQUIREMENTS, Capability, Needs, Requirements
from policies.vocabulary import Deployment, Endpoint
from tests.gateway.stages.a_call import a_call

TOOLS, IMAGES = Capability.TOOLS, Capability.IMAGES
MUTE = Deployment("mute", "p", "openai", "a", lacks=frozenset({TOOLS}))
BLIND = Deployment("blind", "p", "openai", "b", lacks=frozenset({IMAGES, TOOLS}))
SIGHTED = Deployment("sighted", "p", "openai", "c", lacks=frozenset({IMAGES}), context_tokens=100)


def call(*capabilities: Capability, requires: Requirements = NO_REQUIREMENTS) -> Call:
    made = a_call(model="smart")
    made.needs = Needs(frozenset(capabilities), 120, 30, requires)
    return made


def cannot(*deployments: Deployment) -> tuple[Rejection, ...]:
    return tuple(Rejection(deployment, Refused.CAPABILITY) for deployment in deployments)


@pytest.mark.parametrize(
    ("lacking", "message"),
    [
        ((MUTE, BLIND), "No deployment of `smart` takes tools."),
        ((BLIND,), "No deployment of `smart` takes images or takes tools."),
        ((MUTE, SIGHTED), "No deployment of `smart` does all that this request needs: takes images, takes tools."),
        ((), "No deployment of `smart` takes this request, by the conditions of the routes inside it."),
    ],
)
def test_it_says_what_is_missing(lacking: tuple[Deployment, ...], message: str) -> None:
    error = nobody_left(call(TOOLS, IMAGES), cannot(*lacking) or (Rejection(MUTE, Refused.WHEN),))
    assert (error.status, error.code, error.message) == (400, "no_capable_deployment", message)


def test_where_only_residency_stands_in_the_way_it_is_forbidden() -> None:
    asked = call(requires=Requirements(frozenset({"eu"}), frozenset({"pii"})))
    rejected = (
        Rejection(MUTE, Refused.REGION),
        Rejection(BLIND, Refused.DATA_CLASS),
        Rejection(MUTE, Refused.ENDPOINT),
    )
    error = nobody_left(asked, rejected)
    assert (error.status, error.code) == (403, "no_compliant_deployment")
    assert error.message == "No deployment of `smart` may see this request: region=eu, data_class=pii is required."
    assert nobody_left(asked, (*rejected, *cannot(MUTE))).code == "no_capable_deployment"


def test_what_is_too_long_is_told_as_clients_know_it() -> None:
    error = nobody_left(call(), (Rejection(SIGHTED, Refused.CONTEXT), *cannot(MUTE)))
    assert (error.status, error.code, error.param) == (400, "context_length_exceeded", "messages")
    assert error.message == (
        "The maximum context length of `smart` is 100 tokens; this request comes to about 120"
        " and an answer of up to 30."
    )


def test_names_of_callers_are_cut() -> None:
    asked = a_call(model="m" * 512, endpoint=Endpoint.EMBEDDINGS)
    for error in (unknown_model("m" * 512), key_refused("m" * 512), endpoint_refused(asked), nobody_left(asked, ())):
        assert len(error.message) < 320


def test_every_capability_has_words() -> None:
    assert set(DOES) == set(Capability)
