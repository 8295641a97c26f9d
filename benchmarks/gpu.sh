#!/bin/sh
# Correctness, time, memory and profile of the network on a GPU, in under 8 minutes: one JSON and one table.
#   benchmarks/gpu.sh [--out FOLDER] [--quick] [--device cpu|cuda]
set -eu
cd "$(dirname "$0")/.."
if [ -x .venv/bin/python ]; then PYTHON=.venv/bin/python; else PYTHON=python3; fi
exec "$PYTHON" benchmarks/gpu.py "$@"
