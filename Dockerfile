# The service and its bundles, without any training framework.
#
#   docker build -t chipvote:cpu .
#   docker build -t chipvote:cuda --build-arg VARIANT=cuda .     needs an NVIDIA driver for CUDA 13 when it runs

# By tag here; `make pin-images` prints it with its digest, python:…@sha256:…, to build from for good.
ARG PYTHON_IMAGE=python:3.11.15-slim-trixie

FROM ${PYTHON_IMAGE} AS packages
ARG VARIANT=cpu
WORKDIR /source
COPY requirements/service-cpu.txt requirements/service-gpu.txt requirements/
COPY deploy/install.sh deploy/
RUN sh deploy/install.sh "${VARIANT}" /app

FROM ${PYTHON_IMAGE}
# Numeric, so that an orchestrator can see that it is not root.
RUN groupadd --gid 10001 chipvote && useradd --uid 10001 --gid 10001 --no-create-home --home-dir /tmp chipvote

# Nothing is written outside /tmp: the root file system may be read-only. Listening on every interface, the
# service starts only with CHIPVOTE_KEYS, or with CHIPVOTE_OPEN=true where something before it lets nobody in.
ENV PATH=/app/venv/bin:$PATH \
    HOME=/tmp \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    NVIDIA_DRIVER_CAPABILITIES=compute,utility \
    CHIPVOTE_HOST=0.0.0.0 \
    CHIPVOTE_PORT=8000

WORKDIR /app
# In the order of how rarely they change. The cuda variant's venv holds the CUDA libraries as packages.
COPY --from=packages /app/venv /app/venv
COPY models/ /app/models/
COPY service/ /app/service/
COPY deploy/healthcheck.py /app/

USER 10001:10001
EXPOSE 8000
HEALTHCHECK --interval=10s --timeout=5s --start-period=120s --retries=3 CMD ["python", "/app/healthcheck.py"]

# Exec form: the service is process 1 and gets SIGTERM itself.
ENTRYPOINT ["chipvote"]
CMD ["serve"]

# Last, since they differ from build to build.
ARG VARIANT=cpu
ARG VERSION=0.1.0
ARG REVISION=unknown
LABEL org.opencontainers.image.title="chipvote" \
      org.opencontainers.image.description="Land-use label sets for satellite chips (${VARIANT})" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}"
