"""The yardstick: the shortest idiomatic aiohttp proxy. It forwards, and does nothing else that a gateway does."""

import asyncio
import sys
from collections.abc import AsyncIterator

import aiohttp
import uvloop
from aiohttp import web

SESSION = web.AppKey("session", aiohttp.ClientSession)


async def hold_session(app: web.Application) -> AsyncIterator[None]:
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as app[SESSION]:
        yield


def forward_to(upstream: str) -> web.Application:
    async def chat(request: web.Request) -> web.StreamResponse:
        headers = {"Content-Type": "application/json", "Authorization": "Bearer sk-upstream"}
        body = await request.read()
        async with request.app[SESSION].post(upstream + request.path, data=body, headers=headers) as answer:
            if answer.content_type != "text/event-stream":
                return web.Response(body=await answer.read(), status=answer.status, content_type="application/json")
            response = web.StreamResponse(status=answer.status, headers={"Content-Type": "text/event-stream"})
            await response.prepare(request)
            async for chunk in answer.content.iter_any():
                await response.write(chunk)
            return response

    app = web.Application(client_max_size=64 << 20)
    app.router.add_post("/v1/chat/completions", chat)
    app.cleanup_ctx.append(hold_session)
    return app


async def serve_both(pairs: list[str]) -> None:
    for port, upstream in zip(pairs[::2], pairs[1::2], strict=True):
        runner = web.AppRunner(forward_to(f"http://127.0.0.1:{upstream}"), access_log=None)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", int(port), backlog=4096).start()
    await asyncio.Event().wait()


if __name__ == "__main__":
    uvloop.run(serve_both(sys.argv[1:]))
