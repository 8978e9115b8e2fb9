# Triton on NVIDIA GPUs, on NVIDIA's own container. Its TensorRT builds the plans on the node that runs them, since a
# plan holds for one kind of GPU and one version of TensorRT.
ARG BASE=nvcr.io/nvidia/tritonserver:25.06-py3

FROM ${BASE}
ARG VERSION=0
ARG REVISION=unknown
LABEL org.opencontainers.image.title="cardex-triton-gpu" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}"
SHELL ["/bin/bash", "-o", "pipefail", "-c"]
WORKDIR /opt/cardex
# `cardex models build` runs in an environment of its own beside the container's tensorrt.
COPY requirements/engines.lock requirements/
COPY pyproject.toml README.md ./
COPY services services
RUN python3 -m venv --system-site-packages /opt/cardex/venv \
    && /opt/cardex/venv/bin/pip install --no-cache-dir --no-deps --require-hashes -r requirements/engines.lock \
    && /opt/cardex/venv/bin/pip install --no-cache-dir --no-deps --no-build-isolation . \
    && useradd --uid 10001 --no-create-home --shell /usr/sbin/nologin triton
COPY model_repository /models
ENV PYTHONDONTWRITEBYTECODE=1 HOME=/tmp
USER 10001:10001
ENTRYPOINT []
CMD ["tritonserver", "--model-repository=/models", "--model-config-name=tensorrt", \
    "--model-control-mode=explicit", "--load-model=*", "--strict-readiness=false", "--exit-timeout-secs=25", \
    "--rate-limit=execution_count", "--rate-limit-resource=execution:4"]
