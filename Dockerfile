# docker build -t cellpose .
# docker run --rm -v "$PWD:/data" cellpose --dir /data --save_tif
# docker run --rm -p 8770:8770 cellpose serve --host 0.0.0.0
#
# On Linux pip brings a PyTorch with CUDA, which runs on GPUs with "docker run --gpus all ... --use_gpu". For an image without
# CUDA, several gigabytes smaller, name the index of PyTorch's CPU builds:
#   docker build --build-arg PIP_EXTRA_INDEX_URL=... --build-arg TORCH="torch==2.13.0+cpu" -t cellpose:cpu .
FROM python:3.11-slim
ARG PIP_EXTRA_INDEX_URL=""
ARG TORCH="torch"
ARG EXTRAS="measure,track,distributed,serve"
ENV PIP_NO_CACHE_DIR=1 PYTHONUNBUFFERED=1
WORKDIR /opt/cellpose
COPY pyproject.toml README.md LICENSE ./
COPY src src
RUN PIP_EXTRA_INDEX_URL="$PIP_EXTRA_INDEX_URL" pip install "$TORCH" && pip install ".[$EXTRAS]"
# weights that are downloaded, and compiled code, are kept where any user may write
ENV CELLPOSE_LOCAL_MODELS_PATH=/models NUMBA_CACHE_DIR=/tmp/numba
RUN mkdir /models && chmod 1777 /models && cellpose doctor --warm || true
WORKDIR /data
ENTRYPOINT ["cellpose"]
CMD ["--help"]
