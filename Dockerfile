# One target per service: nats, watcher, projector, api, simulator. `docker compose build` builds them all.
# Dependencies come before code, so that a change of code rebuilds the last layer only; uv, pip's cache and the sources
# stay behind in the build stages.

FROM python:3.13-slim AS base
# PATH: the virtual environment is the only Python there is for the service.
ENV PATH=/app/.venv/bin:$PATH \
    PYTHONUNBUFFERED=1
WORKDIR /app

FROM base AS build
RUN --mount=type=cache,target=/root/.cache/pip pip install "uv==0.13.*"
# Bytecode is made here: the services run on a read-only file system.
ENV UV_COMPILE_BYTECODE=1 \
    UV_LINK_MODE=copy \
    UV_PYTHON_DOWNLOADS=never
COPY pyproject.toml uv.lock ./

# What every service runs as: a user that owns nothing. The number is fixed, so that the owners of volumes and of
# mounted kubeconfigs stay right from one image to the next.
FROM base AS service
RUN groupadd --gid 10001 summit && useradd --uid 10001 --gid summit --no-create-home --shell /usr/sbin/nologin summit
USER 10001:10001
STOPSIGNAL SIGTERM

# Each service: its dependencies, then its code, then both without the tools that made them.
# The code has no cache: uv knows a project by its directory and pyproject.toml, which are the same for all services and
# all versions of the code, and would install the wheel of another one.

FROM build AS watcher-build
RUN --mount=type=cache,target=/root/.cache/uv uv sync --frozen --no-dev --no-install-project --extra otlp --extra watcher
COPY README.md LICENSE ./
COPY libs/models libs/models
COPY libs/runtime libs/runtime
COPY services/watcher services/watcher
RUN uv sync --frozen --no-dev --no-editable --extra otlp --extra watcher

FROM service AS watcher
COPY --from=watcher-build /app/.venv /app/.venv
ENV WATCHER_CONFIG=/etc/summit-connect/datacenters.yaml \
    WATCHER_PROBE_HOST=0.0.0.0 \
    WATCHER_PROBE_PORT=8080
EXPOSE 8080
ENTRYPOINT ["python", "-m", "summit_watcher"]

FROM build AS projector-build
RUN --mount=type=cache,target=/root/.cache/uv uv sync --frozen --no-dev --no-install-project --extra otlp --extra projector
COPY README.md LICENSE ./
COPY libs/models libs/models
COPY libs/runtime libs/runtime
COPY services/projector services/projector
RUN uv sync --frozen --no-dev --no-editable --extra otlp --extra projector

FROM service AS projector
COPY --from=projector-build /app/.venv /app/.venv
ENV PROJECTOR_PROBE_HOST=0.0.0.0 \
    PROJECTOR_PROBE_PORT=8080
EXPOSE 8080
ENTRYPOINT ["python", "-m", "summit_projector"]

FROM build AS api-build
RUN --mount=type=cache,target=/root/.cache/uv uv sync --frozen --no-dev --no-install-project --extra otlp --extra api
COPY README.md LICENSE ./
COPY libs/models libs/models
COPY libs/runtime libs/runtime
COPY services/api services/api
RUN uv sync --frozen --no-dev --no-editable --extra otlp --extra api

FROM service AS api
COPY --from=api-build /app/.venv /app/.venv
ENV API_HOST=0.0.0.0 \
    API_PORT=3001
EXPOSE 3001
ENTRYPOINT ["python", "-m", "summit_api"]

FROM build AS simulator-build
RUN --mount=type=cache,target=/root/.cache/uv uv sync --frozen --no-dev --no-install-project --extra simulator
COPY README.md LICENSE ./
COPY libs/simulator libs/simulator
RUN uv sync --frozen --no-dev --no-editable --extra simulator

FROM service AS simulator
COPY --from=simulator-build /app/.venv /app/.venv
# A new volume takes over the owner of the directory it is mounted at.
USER root
RUN install --directory --owner=10001 --group=10001 --mode=0700 /kubeconfigs
USER 10001:10001
ENV SIMULATOR_HOST=0.0.0.0 \
    SIMULATOR_KUBECONFIG_DIR=/kubeconfigs
ENTRYPOINT ["python", "-m", "summit_simulator"]

# NATS as it is, but not as root: the official image has neither a user nor a data directory, and a new volume takes
# over the owner of the directory it is mounted at.
FROM nats:2.15-alpine AS nats
RUN mkdir -m 0700 /data && chown 10001:10001 /data
USER 10001:10001
