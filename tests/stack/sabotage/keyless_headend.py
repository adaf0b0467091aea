"""A head-end whose table of readings has lost its key, so that what comes twice is stored twice."""

from collections.abc import Sequence

import psycopg

from lab.lockstep.link import Body
from lab.parts.headend import Answer, HeadPart
from lab.parts.process import run_part


class KeylessHeadPart(HeadPart):
    async def init(self, body: Body, blobs: Sequence[bytes]) -> Answer:
        answer = await super().init(body, blobs)
        settings = body["settings"]
        async with await psycopg.AsyncConnection.connect(settings["database_url"]) as connection:
            await connection.execute(
                f'ALTER TABLE "{settings["database_schema"]}".interval_reading DROP CONSTRAINT interval_reading_pkey'
            )
        return answer


if __name__ == "__main__":
    run_part("sabotage", lambda _name: KeylessHeadPart().handlers())
