from __future__ import annotations

import importlib.util
from typing import TYPE_CHECKING

import pytest
from anyio.from_thread import start_blocking_portal
from openai import OpenAI

from tests.end_to_end.engine.house import House, policy
from tests.gateway_process import KEY, gateway_process

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(scope="session")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    if importlib.util.find_spec("llama_cpp") is None:
        pytest.skip("llama-cpp-python is not installed")
    folder = tmp_path_factory.mktemp("house")
    with start_blocking_portal() as portal:
        process = gateway_process(policy(folder), folder)
        with portal.wrap_async_context_manager(process) as gateway:
            house = House(gateway, lambda path: portal.call(gateway.admin, path))
            with house.http:
                yield house


@pytest.fixture
def client(house: House) -> Iterator[OpenAI]:
    with OpenAI(base_url=house.gateway.base_url, api_key=KEY, max_retries=0, timeout=30) as made:
        yield made
