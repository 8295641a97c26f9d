#!/usr/bin/env bash
# Writes the lock files anew: for the versions in constraints.txt the SHA-256 of every file that the index has of them,
# and the versions and sums of .venv-photo. Needs uv. torch is left out: its CPU and CUDA builds are different files.
set -euo pipefail
cd "$(dirname "$0")/.."
compile() {  # compile OUT TITLE ARGUMENTS ...: requirements on stdin
  local out=$1 title=$2; shift 2
  local made; made=$(uv pip compile - --generate-hashes --universal --python-version 3.11 --no-header --no-annotate -q "$@")
  printf '# %s Made by scripts/lock.sh.\n%s\n' "$title" "$made" > "$out"
}
grep -v -e '^#' -e '^torch==' constraints.txt |
  compile requirements.lock "The packages of constraints.txt but torch, with the SHA-256 of every file of theirs." --no-deps
sed -n 's/^opencv-python==/opencv-python-headless==/p' constraints.txt |
  compile scripts/headless.lock "OpenCV without windows, for machines without libGL." --no-deps
echo triton==3.7.1 |
  compile scripts/triton.lock "For the tests of the CUDA kernels in Triton's interpreter." --no-deps
printf '%s\n' 'numpy<2' absl-py attrs flatbuffers 'protobuf<5' matplotlib 'opencv-python-headless<4.12' |
  compile scripts/photo.lock "What .venv-photo holds, with the SHA-256 of every file."
echo 'mediapipe==0.10.21' | uv pip compile - --no-deps --generate-hashes --universal --python-version 3.11 --no-header \
  --no-annotate -q >> scripts/photo.lock
