"""Addresses for those who run a service: is it alive, is it ready, what does it do."""

from fastapi import APIRouter
from starlette.responses import JSONResponse, Response

from asr.serving.metrics import CONTENT_TYPE
from asr.serving.service import Service


def router(service: Service) -> APIRouter:
    """Return the routes /health, /ready and /metrics."""
    routes = APIRouter(tags=["operation"])
    engine = service.engine

    @routes.get("/health")
    async def health() -> dict[str, str]:
        """Tell that the web process is alive."""
        return {"status": "ok"}

    @routes.get("/ready", responses={503: {"description": "No model process is ready."}})
    async def ready() -> JSONResponse:
        """Tell if a model process is ready, and how many requests wait."""
        found = {"status": "ready" if engine.ready else "not ready", "workers": engine.ready, "queue": engine.waiting}
        return JSONResponse(found, 200 if engine.ready else 503)

    @routes.get("/metrics", response_class=Response, responses={200: {"content": {"text/plain": {}}}})
    async def metrics() -> Response:
        """Return the metrics in Prometheus' text format."""
        return Response(engine.metrics.text(), headers={"Content-Type": CONTENT_TYPE})

    return routes
