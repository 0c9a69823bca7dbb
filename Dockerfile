# One image for ingress, workers, console and the command line. For builds that can be repeated name the base by its
# digest: --build-arg PYTHON_IMAGE=docker.io/library/python:3.13-slim@sha256:…
ARG PYTHON_IMAGE=docker.io/library/python:3.13-slim

FROM ${PYTHON_IMAGE} AS build
RUN apt-get update -qq \
 && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends binutils tini >/dev/null
WORKDIR /build
COPY requirements.lock requirements-dev.lock requirements-extras.lock ./
# The backend of the build is pinned with the tools of development; all that is not named here stays out.
RUN awk '/^[a-z]/ { wanted = /^(hatchling|packaging|pathspec|pluggy|tomlkit|trove-classifiers)==/ } wanted' \
      requirements-dev.lock >requirements-build.lock \
 && python3 -m venv /opt/builder \
 && /opt/builder/bin/pip install --no-cache-dir --disable-pip-version-check --require-hashes -r requirements-build.lock \
 && python3 -m venv --without-pip /opt/event-router \
 && /opt/builder/bin/pip --python /opt/event-router/bin/python install --no-cache-dir --disable-pip-version-check \
      --no-compile --only-binary :all: --require-hashes -r requirements.lock
COPY pyproject.toml README.md LICENSE ./
COPY config config
COPY router router
COPY workers workers
# Extras of pyproject.toml, with commas between them: --build-arg EXTRAS=s3,otel. All are fetched by their hashes; those named
# are installed.
ARG EXTRAS=
# What is compiled here is never compiled again: the files need not be written to, nor be compared with their sources.
RUN /opt/builder/bin/pip wheel --no-deps --no-build-isolation --disable-pip-version-check --wheel-dir /dist . \
 && /opt/builder/bin/pip --python /opt/event-router/bin/python install --no-cache-dir --disable-pip-version-check \
      --no-compile --no-deps /dist/*.whl \
 && find /opt/event-router/lib -name '*.so' -exec strip --strip-unneeded {} + \
 && find /opt/event-router/lib -type f \( -name '*.c' -o -name '*.h' -o -name '*.pyx' -o -name '*.pxd' \) -delete \
 && for extra in $(echo "${EXTRAS}" | tr , ' '); do \
      python3 -m zipfile -e /dist/*.whl /extracted && cat /extracted/*.dist-info/METADATA | grep -qx "Provides-Extra: ${extra}" \
        || { echo "EXTRAS: the router has no extra ${extra}" >&2; exit 1; }; \
    done \
 && if [ -n "${EXTRAS}" ]; then \
      /opt/builder/bin/pip download --no-cache-dir --disable-pip-version-check --only-binary :all: --require-hashes \
        -r requirements-extras.lock --dest /extras \
      && /opt/builder/bin/pip --python /opt/event-router/bin/python install --disable-pip-version-check --no-compile \
        --no-index --find-links /extras "$(echo /dist/*.whl)[${EXTRAS}]"; \
    fi \
 && /opt/event-router/bin/python -m compileall -q -j 0 --invalidation-mode unchecked-hash /opt/event-router/lib

FROM ${PYTHON_IMAGE}
ARG VERSION=0.1.0
ARG REVISION=unknown
LABEL org.opencontainers.image.title="visma-event-router" \
      org.opencontainers.image.description="Event router for Visma.net ERP webhooks" \
      org.opencontainers.image.licenses="MIT" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}"
RUN useradd --uid 10001 --user-group --no-create-home --home-dir /data --shell /usr/sbin/nologin router \
 && install -d -m 0700 -o router -g router /data \
 && install -d /workers
COPY --from=build /usr/bin/tini /usr/local/bin/tini
COPY --from=build /opt/event-router /opt/event-router
ENV PATH=/opt/event-router/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    ROUTER_DATA_DIR=/data \
    ROUTER_LOG__FORMAT=json \
    ROUTER_OPS__HOST=0.0.0.0
# By number, so that an orchestrator can see that it is not root.
USER 10001:10001
WORKDIR /workers
EXPOSE 8080 9090
STOPSIGNAL SIGTERM
# Images in the OCI format carry no health check: compose.yaml has the same one.
HEALTHCHECK --interval=10s --timeout=3s --start-period=20s \
  CMD ["python3", "-ISc", "from urllib.request import urlopen; urlopen('http://127.0.0.1:9090/healthz', timeout=2)"]
# tini passes signals on, also in the moment before they are handled, and buries what handlers leave behind.
ENTRYPOINT ["tini", "--", "event-router"]
CMD ["ingress"]
