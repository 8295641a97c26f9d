#!/usr/bin/env bash
# Makes .venv with the versions locked in constraints.txt: a CPU build of torch where there is no NVIDIA GPU.
set -euo pipefail
cd "$(dirname "$0")/.."
say() { printf '%s\n' "$*" >&2; }
python=${PYTHON:-python3}

"$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' ||
  { say "Python 3.11 or newer is needed; $python is $("$python" --version 2>&1). Set PYTHON=/path/to/python3.11."; exit 1; }
"$python" -m venv .venv ||
  { say "Could not make .venv. On Debian or Ubuntu: sudo apt install python3-venv"; exit 1; }
pip() { .venv/bin/python -m pip --disable-pip-version-check install --quiet "$@"; }

if ! nvidia-smi -L >/dev/null 2>&1; then
  cpu_builds=https://download.pytorch.org/whl/cpu
  if "$python" -c "import urllib.request as u; u.urlopen('$cpu_builds/torch/', timeout=8)" >/dev/null 2>&1; then
    export PIP_EXTRA_INDEX_URL="${PIP_EXTRA_INDEX_URL:-} $cpu_builds"   # its +cpu build is preferred to the CUDA one
  fi
  say "No NVIDIA GPU: installing torch for the CPU."
  kernels=(triton==3.7.1)  # for the tests of the CUDA kernels in Triton's interpreter; CUDA builds of torch bring their own
else
  say "NVIDIA GPU found: installing torch with CUDA."
  kernels=()
fi
say "Installing into .venv (some minutes the first time) ..."
pip -c constraints.txt -e ".[dev,demo,cluster,curves,onnx,fast]" "${kernels[@]}"

if ! .venv/bin/python -c 'import cv2' 2>/dev/null; then
  say "OpenCV lacks the system's libGL: taking its headless build, the same without windows."
  version=$(.venv/bin/python -m pip show opencv-python | sed -n 's/^Version: //p')
  .venv/bin/python -m pip uninstall -q -y opencv-python
  pip "opencv-python-headless==$version"
fi
touch .venv/ready
