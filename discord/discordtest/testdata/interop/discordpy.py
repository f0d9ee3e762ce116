"""discord.py, with zlib-stream. See lines.mjs for what it says and when it ends."""
import asyncio
import json
import os
import sys

import discord
import yarl

config = json.loads(os.environ["INTEROP"])
discord.http.Route.BASE = config["api"] + "/v10"
discord.gateway.DiscordWebSocket.DEFAULT_GATEWAY = yarl.URL("wss://%s:%d/" % (config["host"], config["port"]))


def tell(*words):
    print(*words, flush=True)


class Bot(discord.AutoShardedClient):
    async def on_shard_ready(self, shard):
        tell("ready", shard, sum(g.shard_id == shard and not g.unavailable for g in self.guilds))

    async def on_shard_resumed(self, shard):
        tell("resumed", shard)

    async def on_message(self, message):
        tell("message", message.channel.id, message.author.name, message.content)
        if message.content == "!ping":
            await message.channel.send("pong")


async def main():
    intents = discord.Intents(guilds=True, guild_messages=True, message_content=True)
    discord.utils.setup_logging(root=True)
    async with Bot(intents=intents, chunk_guilds_at_startup=False, guild_ready_timeout=0.5) as bot:
        running = asyncio.create_task(bot.start(config["token"]))
        ended = asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)
        await asyncio.wait([running, ended], return_when=asyncio.FIRST_COMPLETED)
        await bot.close()
        await running


asyncio.run(main())
