"""/metrics of the api, beside its other probes."""

from fastapi import APIRouter, Response

from summit_runtime import metrics

router = APIRouter(include_in_schema=False)  # Prometheus' format, not ours


@router.get("/metrics")
async def exposition() -> Response:
    return Response(metrics.exposition(), media_type=metrics.CONTENT_TYPE)
