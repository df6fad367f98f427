"""Every method of the published vllm-bootstrap-client against a launch service: base URL, key and model as arguments. gRPC is where the
client looks for it. Prints one word per step; an assertion ends it with status 1."""

import asyncio
import sys

import grpc
import httpx
from vllm_bootstrap_client import LaunchState, VLLMManager

base_url, access_key, model = sys.argv[1:4]


def done(step: str) -> None:
    print(step, flush=True)


async def launches(client: VLLMManager) -> None:
    made = await client.launch(model, gpu_ids=[0], extra_kwargs={"max_model_len": 2048})
    assert made.state == LaunchState.bootstrapping and made.gpu_ids == [0] and made.error is None, made
    assert made.created_at.tzinfo is not None
    done("launch")
    assert made.launch_id in [one.launch_id for one in await client.list_launches()]
    done("list_launches")
    assert (await client.status(made.launch_id)).launch_id == made.launch_id
    done("status")
    ready = await client.wait_until_ready(made.launch_id, poll_interval=0.1, timeout=120)
    assert ready.state == LaunchState.ready, ready
    done("wait_until_ready")
    first = await client.logs(made.launch_id)
    assert first.content and first.next_offset == len(first.content.encode()), first
    assert (await client.logs(made.launch_id, offset=first.next_offset)).offset == first.next_offset
    done("logs")
    stats = await client.stats()
    assert stats.gpu_count == len(stats.gpus), stats
    done("stats")
    await completions(client, made.launch_id)
    stopped = await client.stop(made.launch_id)
    assert stopped.state == LaunchState.stopped, stopped
    done("stop")
    try:
        await client.wait_until_ready(made.launch_id, poll_interval=0.1, timeout=5)
        raise AssertionError("a stopped launch is ready")
    except RuntimeError as error:
        assert "stopped" in str(error), error
    done("wait_until_ready of a stopped launch")


async def completions(client: VLLMManager, launch_id: str) -> None:
    prompts = ["once upon a time", "hello", "two words"]
    found = await client.complete(launch_id, prompts, max_tokens=4, temperature=0.5, top_p=0.9)
    assert len(found) == 3 and all(one.text and 0 < one.completion_tokens <= 4 for one in found), found
    assert found[0].prompt_tokens > found[1].prompt_tokens, found
    done("complete")
    streamed = [one async for one in client.complete_stream(launch_id, prompts, max_tokens=4)]
    assert [one.prompt_tokens for one in streamed] == [one.prompt_tokens for one in found], streamed
    done("complete_stream")
    [chosen] = await client.complete(launch_id, ["say"], max_tokens=4, choice=["yes", "no"])
    assert chosen.text in ("yes", "no"), chosen
    for guided in ({"json_schema": '{"type": "object"}'}, {"regex": "[ab]{3}"}, {"grammar": 'root ::= "yes"'}):
        assert len(await client.complete(launch_id, ["say"], max_tokens=8, **guided)) == 1, guided
    done("guided decoding")


async def embeddings(client: VLLMManager) -> None:
    async with client.run(model, task="embed", gpu_ids=[1], ready_timeout=120, ready_poll_interval=0.1) as embed:
        vectors = await client.embed(embed.launch_id, ["a", "something longer"])
        assert len(vectors) == 2 and len(vectors[0]) == len(vectors[1]) > 0
        done("embed")
        streamed = [one async for one in client.embed_stream(embed.launch_id, ["a", "something longer"])]
        assert all(abs(x - y) < 1e-3 for one, other in zip(streamed, vectors) for x, y in zip(one, other))
        done("embed_stream")
    assert (await client.status(embed.launch_id)).state == LaunchState.stopped
    done("run")


async def fails(client: VLLMManager) -> None:
    """What goes wrong is raised as its users know it."""
    for call, status in (
        (client.status("nobody"), 404),
        (client.logs("nobody"), 404),
        (client.stop("nobody"), 404),
        (client.launch(model, gpu_ids=[98]), 400),
        (client.launch("", gpu_ids=[0]), 422),
    ):
        try:
            await call
            raise AssertionError(f"no {status}")
        except httpx.HTTPStatusError as error:
            assert error.response.status_code == status, error
    async with VLLMManager(base_url, access_key="wrong") as stranger:
        try:
            await stranger.list_launches()
            raise AssertionError("a wrong key is let in")
        except httpx.HTTPStatusError as error:
            assert error.response.status_code == 401, error
        try:
            await stranger.complete("nobody", ["a"], max_tokens=1)
            raise AssertionError("a wrong key is let in")
        except grpc.aio.AioRpcError as error:
            assert error.code() == grpc.StatusCode.UNAUTHENTICATED, error
    try:
        await client.embed("nobody", ["a"])
        raise AssertionError("an unknown launch embeds")
    except grpc.aio.AioRpcError as error:
        assert (error.code(), error.details()) == (grpc.StatusCode.NOT_FOUND, "Unknown launch_id: nobody"), error
    done("errors")


async def run_of_failures(client: VLLMManager) -> None:
    """`run` stops its launch also where it never serves, and says why; a wait of none at all is a TimeoutError."""
    try:
        async with client.run("conformance/absent", task="generate", gpu_ids=[0], ready_poll_interval=0.1):
            raise AssertionError("a model that is not there serves")
    except RuntimeError as error:
        assert "failed" in str(error) and "conformance/absent" in str(error), error
    # On a busy machine one may serve before it is looked at.
    for _ in range(5):
        made = await client.launch(model, gpu_ids=[0])
        late = False
        try:
            await client.wait_until_ready(made.launch_id, poll_interval=0.02, timeout=0.02)
        except TimeoutError:
            late = True
        assert (await client.stop(made.launch_id)).state == LaunchState.stopped
        assert made.launch_id not in [one.launch_id for one in await client.list_launches()]
        if late:
            done("run that fails, and a wait that ends")
            return


async def main() -> None:
    # As its users write it: with a slash at the end, and no word about gRPC.
    async with VLLMManager(f"{base_url}/", access_key=access_key) as client:
        await fails(client)
        await asyncio.gather(launches(client), embeddings(client))
        await run_of_failures(client)
    async with VLLMManager(base_url, access_key=access_key, limit_response=True) as client:
        assert await client.list_launches() == []
        done("limit_response")


asyncio.run(main())
