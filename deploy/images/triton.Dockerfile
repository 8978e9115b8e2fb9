# Triton on CPUs: nvidia-pytriton's server with the python backend and ONNX Runtime.
ARG BASE=docker.io/library/python:3.11-slim-bookworm

FROM ${BASE} AS build
ARG PIP_CERT=
RUN python3 -c 'import ensurepip, venv' 2>/dev/null \
    || (apt-get update && apt-get install -y --no-install-recommends python3-venv)
RUN python3 -m venv /opt/triton
ENV PATH=/opt/triton/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
COPY requirements/triton.lock /src/
RUN pip install --no-cache-dir --disable-pip-version-check --no-deps --require-hashes -r /src/triton.lock \
    && pip uninstall --yes pip
# The stub of this Python belongs beside the backend's library.
RUN server=/opt/triton/lib/python3.11/site-packages/pytriton/tritonserver \
    && cp "${server}/python_backend_stubs/3.11/triton_python_backend_stub" "${server}/backends/python/" \
    && chmod 755 "${server}/bin/tritonserver" "${server}/backends/python/triton_python_backend_stub" \
        "${server}/backends/python/libtriton_python.so" \
    && rm -rf "${server}/python_backend_stubs"

FROM ${BASE}
ARG VERSION=0
ARG REVISION=unknown
LABEL org.opencontainers.image.title="cardex-triton" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}"
RUN python3 -c 'import ctypes; ctypes.CDLL("libpython3.11.so.1.0")' 2>/dev/null \
    || (apt-get update && apt-get install -y --no-install-recommends libpython3.11 \
        && rm -rf /var/lib/apt/lists/*)
RUN useradd --uid 10001 --no-create-home --shell /usr/sbin/nologin triton
COPY --from=build /opt/triton /opt/triton
COPY model_repository /models
ENV PATH=/opt/triton/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin \
    LD_LIBRARY_PATH=/usr/local/lib:/opt/triton/lib/python3.11/site-packages/nvidia_pytriton.libs \
    PYTHONDONTWRITEBYTECODE=1 \
    HOME=/tmp
USER 10001:10001
# Versions come and go while others answer: the server stays ready meanwhile.
ENTRYPOINT ["/opt/triton/lib/python3.11/site-packages/pytriton/tritonserver/bin/tritonserver", \
    "--model-repository=/models", \
    "--backend-directory=/opt/triton/lib/python3.11/site-packages/pytriton/tritonserver/backends", \
    "--model-control-mode=explicit", "--load-model=*", "--strict-readiness=false", \
    "--exit-timeout-secs=25"]
CMD ["--model-config-name=cpu"]
