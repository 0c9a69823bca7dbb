# One image for ingress, workers and the command line.
FROM docker.io/library/python:3.13-slim AS build
WORKDIR /build
RUN python3 -m venv /opt/event-router
COPY requirements.lock ./
RUN /opt/event-router/bin/pip install --no-cache-dir --disable-pip-version-check --require-hashes -r requirements.lock
COPY pyproject.toml README.md LICENSE ./
COPY config config
COPY router router
COPY workers workers
RUN python3 -m venv /opt/builder \
 && /opt/builder/bin/pip install --no-cache-dir --disable-pip-version-check 'hatchling>=1.27' \
 && /opt/builder/bin/pip wheel --no-deps --no-build-isolation --wheel-dir /dist . \
 && /opt/event-router/bin/pip install --no-cache-dir --disable-pip-version-check --no-deps /dist/*.whl \
 && /opt/event-router/bin/python -m compileall -q /opt/event-router/lib

FROM docker.io/library/python:3.13-slim
RUN useradd --uid 10001 --no-create-home --home-dir /data router && install -d -o router /data /workers
COPY --from=build /opt/event-router /opt/event-router
ENV PATH=/opt/event-router/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    ROUTER_DATA_DIR=/data \
    ROUTER_OPS__HOST=0.0.0.0
USER router
WORKDIR /workers
EXPOSE 8080 9090
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=3s --start-period=20s \
  CMD ["python3", "-c", "import os, urllib.request; urllib.request.urlopen(f'http://127.0.0.1:{os.environ.get(\"ROUTER_OPS__PORT\", \"9090\")}/healthz', timeout=2)"]
ENTRYPOINT ["event-router"]
CMD ["ingress"]
