# The service alone: no torch, no pipeline tools, no data. Releases and the database come from outside:
#
#   docker build -t mofang .
#   docker run -p 127.0.0.1:8000:8000 -e MOFANG_KEYS="front:predict:$KEY" \
#     -v "$PWD/releases:/mofang/releases" -v mofang:/mofang/var mofang
#
# It listens to all addresses of its own network, and so it refuses to start without a key. The user
# 10001 has to be able to write releases/state.json, because a canary that fails is taken back.
ARG PYTHON=3.11

FROM python:${PYTHON}-slim AS packages
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1
COPY requirements-service.txt .
RUN python -m venv /packages && /packages/bin/python -m pip install -r requirements-service.txt

FROM python:${PYTHON}-slim
ENV PATH=/packages/bin:$PATH PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1 \
    OMP_NUM_THREADS=1 DO_NOT_TRACK=1 GRADIO_ANALYTICS_ENABLED=False HF_HUB_OFFLINE=1
RUN useradd --uid 10001 --no-create-home --shell /usr/sbin/nologin mofang \
    && mkdir -p /mofang/releases /mofang/var && chown -R mofang /mofang
WORKDIR /mofang
COPY --from=packages /packages /packages
COPY params.yaml ./
COPY pipeline pipeline
COPY app app
USER mofang
VOLUME ["/mofang/releases", "/mofang/var"]
EXPOSE 8000
# /v2/health/ready needs no key; it says 503 until a release is loaded.
HEALTHCHECK --interval=10s --timeout=3s --start-period=60s --retries=3 CMD ["python", "-c", \
    "import urllib.request as r; r.urlopen('http://127.0.0.1:8000/v2/health/ready', timeout=2)"]
STOPSIGNAL SIGTERM
CMD ["python", "-m", "app.service", "--host", "0.0.0.0", "--port", "8000"]
