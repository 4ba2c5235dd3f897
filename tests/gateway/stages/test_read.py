import pytest

from gateway.errors import RequestError
from gateway.stages.read import Read
from policies.vocabulary import Endpoint
from tests.gateway.stages.a_call import Next, a_call


async def test_the_body_becomes_the_request() -> None:
    body = b'{"model":"m","messages":[{"role":"user","content":"hi"}],"stream":true}'
    call, then = a_call(body=body), Next()
    await Read()(call, then)
    assert then.calls == [call]
    assert (call.request.model, call.request.stream, call.request.body_bytes) == ("m", True, len(body))


async def test_the_endpoint_says_what_a_good_body_is() -> None:
    call = a_call(body=b'{"model":"m","input":"hi"}', endpoint=Endpoint.EMBEDDINGS)
    await Read()(call, Next())
    assert call.request.endpoint is Endpoint.EMBEDDINGS


@pytest.mark.parametrize(
    ("body", "code", "param"),
    [
        (b"", "invalid_json", None),
        (b"[]", "invalid_json", None),
        (b'{"messages":[{"role":"user","content":"hi"}]}', "missing_required_parameter", "model"),
        (b'{"model":"m","messages":[{"role":"user"}]}', "invalid_value", "messages[0].content"),
        (b'{"model":"m","messages":[],"api_base":"x"}', "unknown_parameter", "api_base"),
    ],
)
async def test_a_bad_body_is_the_callers_mistake_and_goes_no_further(body: bytes, code: str, param: str | None) -> None:
    then = Next()
    with pytest.raises(RequestError) as refused:
        await Read()(a_call(body=body), then)
    assert (refused.value.status, refused.value.code, refused.value.param) == (400, code, param)
    assert then.calls == []


async def test_a_body_that_cannot_be_read_is_refused_as_its_reader_says() -> None:
    async def too_slow() -> bytes:
        raise RequestError("slow", status=408, code="request_timeout")

    call = a_call()
    call.read_body = too_slow
    with pytest.raises(RequestError) as refused:
        await Read()(call, Next())
    assert refused.value.status == 408
