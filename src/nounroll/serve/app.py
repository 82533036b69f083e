"""Server of one student: its parts, its routes, and the guard of every request."""

import asyncio
import copy
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from fastapi import FastAPI
from fastapi.middleware.cors import CORSMiddleware

from nounroll.data.task import SequenceTask
from nounroll.models.student import Student
from nounroll.serve.batcher import Batcher
from nounroll.serve.errors import add_errors
from nounroll.serve.guard import Guard
from nounroll.serve.judge import Judge
from nounroll.serve.memories import Memories
from nounroll.serve.metrics import Metrics
from nounroll.serve.pool import Pool
from nounroll.serve.routes import completions, forecast, operation, page, sessions
from nounroll.serve.service import Service
from nounroll.serve.sessions import Sessions
from nounroll.serve.settings import ServeSettings
from nounroll.serve.turns import Turns


def create_app(
    student: Student,
    task: SequenceTask,
    name: str,
    settings: ServeSettings | None = None,
    *,
    folder: Path | None = None,
    judge: Judge | None = None,
) -> FastAPI:
    """Create the server of one student.

    Args:
        student: trained, on the CPU.
        task: the student's task; it encodes and decodes the text of requests.
        name: the model's name.
        settings: limits and token.
        folder: keeps sessions; existing sessions continue.
        judge: the student's teacher, which measures the drift of memories.

    Raises:
        ValueError: the folder is in use, or holds something other than sessions of this student.
    """
    service = _service(copy.deepcopy(student).float().eval(), task, name, settings or ServeSettings(), folder, judge)

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        tasks = [asyncio.create_task(work) for work in (service.batcher.run(), service.sessions.expire())]
        yield
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)
        await service.sessions.end()

    app = FastAPI(title="nounroll", lifespan=lifespan, docs_url=None, redoc_url=None, openapi_url=None)
    app.state.service = service
    open_to_all = frozenset((*page.FILES, operation.HEALTH))
    app.add_middleware(
        Guard, settings=service.settings, metrics=service.metrics, turns=service.turns, open_to_all=open_to_all
    )
    if origins := service.settings.origins:  # outermost, because a browser's preflight has no token
        app.add_middleware(
            CORSMiddleware, allow_origins=origins, allow_methods=["GET", "POST", "DELETE"], allow_headers=["*"]
        )
    add_errors(app)
    for part in (page, completions, forecast, sessions, operation):
        app.include_router(part.router)
    return app


def _service(
    student: Student,
    task: SequenceTask,
    name: str,
    settings: ServeSettings,
    folder: Path | None,
    judge: Judge | None,
) -> Service:
    pool = Pool(student, settings.slots)
    metrics = Metrics(pool)
    batcher = Batcher(pool, settings.queue, metrics)
    memories = Memories(task, pool, remembered=judge.length if judge else 0)
    kept = Sessions(student, memories, batcher, settings, folder)
    turns = Turns(lambda: batcher.at_work)
    return Service(name, student, task, settings, metrics, pool, batcher, kept, judge, turns)
