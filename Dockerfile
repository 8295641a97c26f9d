# The program in an image: `docker build --target cpu -t fittingroom .`, or `--target cuda`.
#   docker run --rm -p 8000:8000 fittingroom                         the page, with the weights that come along,
#                                                                    at the printed address with localhost for 0.0.0.0
#   docker run --rm --gpus all --shm-size=4g -v $PWD:/work fittingroom train shards/train runs/first --init ckpt_viton.pt
# Files in /work are the person's own: mount data, shards and runs there.
FROM python:3.12-slim AS base
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1 PYTHONUNBUFFERED=1
# OpenCV wants libGL; Triton compiles the fused warp with gcc on a GPU.
RUN apt-get update \
    && apt-get install -y --no-install-recommends gcc libc6-dev libgl1 libglib2.0-0 \
    && rm -rf /var/lib/apt/lists/*
WORKDIR /opt/fittingroom
COPY setup.cfg pyproject.toml constraints.txt data_manifest.json README.md LICENSE cli.py ./
COPY pipeline ./pipeline
COPY model ./model
COPY commands ./commands

FROM base AS cpu
RUN pip install --no-deps --index-url https://download.pytorch.org/whl/cpu "$(grep ^torch== constraints.txt)" \
    && pip install -c constraints.txt ".[demo,fast,onnx]"
WORKDIR /work
EXPOSE 8000
ENTRYPOINT ["fittingroom"]
CMD ["serve", "--host", "0.0.0.0"]

FROM base AS cuda
RUN pip install -c constraints.txt ".[demo,fast,onnx]"
WORKDIR /work
EXPOSE 8000
ENTRYPOINT ["fittingroom"]
CMD ["serve", "--host", "0.0.0.0"]
