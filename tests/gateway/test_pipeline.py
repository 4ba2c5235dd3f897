from gateway.pipeline import compose


async def test_stages_run_in_the_order_of_the_tuple() -> None:
    seen = []

    def stage(name):
        async def step(call, then):
            seen.append(name)
            reply = await then(call)
            seen.append(f"{name} done")
            return reply

        return step

    async def last(call):
        seen.append("last")
        return call

    handler = compose([stage("outer"), stage("inner")], last)
    assert await handler("a call") == "a call"
    assert seen == ["outer", "inner", "last", "inner done", "outer done"]


async def test_a_stage_that_refuses_keeps_the_rest_from_running() -> None:
    reached = []

    async def refuse(_call, then):
        return f"refused before {then.__class__.__name__}"

    async def last(call):
        reached.append(call)

    assert await compose([refuse], last)("a call") == "refused before function"
    assert reached == []
