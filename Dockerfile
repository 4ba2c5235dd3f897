# syntax=docker/dockerfile:1
# Two stages: the first compiles llama.cpp and installs everything from the hashed locks; the second only copies it.

FROM python:3.11-slim AS build
# Debian keeps no old versions to pin to.
# hadolint ignore=DL3008
RUN apt-get update \
 && apt-get install --yes --no-install-recommends g++ make \
 && rm -rf /var/lib/apt/lists/*
WORKDIR /src
COPY . .
# The image may run on another processor than the one that builds it, so nothing is tuned to this one.
ENV CMAKE_ARGS=-DGGML_NATIVE=OFF
RUN python -m venv /opt/pointsman \
 && scripts/install.sh /opt/pointsman lock run \
 && scripts/install.sh /opt/pointsman lock model \
 && scripts/install.sh /opt/pointsman llama \
 && /opt/pointsman/bin/python -m pip install --no-deps --no-build-isolation --no-index .

FROM python:3.11-slim
# llama.cpp's threads need OpenMP's runtime. Debian keeps no old versions to pin to.
# hadolint ignore=DL3008
RUN apt-get update \
 && apt-get install --yes --no-install-recommends libgomp1 \
 && rm -rf /var/lib/apt/lists/* \
 && useradd --system --create-home --home-dir /data --uid 10001 pointsman
COPY --from=build /opt/pointsman /opt/pointsman
ENV PATH=/opt/pointsman/bin:$PATH PYTHONUNBUFFERED=1
USER 10001
WORKDIR /data
# Callers; the operator's listener (8081) stays on the container's own loopback, where the check below asks it.
EXPOSE 8080
HEALTHCHECK --interval=10s --timeout=3s --start-period=30s CMD ["python", "-c", "import urllib.request as r; r.urlopen('http://127.0.0.1:8081/health/live', timeout=2)"]
# Mount a policy file here; it must listen on 0.0.0.0:8080 and hold keys.
ENTRYPOINT ["pointsman"]
CMD ["serve", "--config", "/data/pointsman.yaml"]
