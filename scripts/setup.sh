#!/usr/bin/env bash
# Makes .venv with the files locked in requirements.lock, and torch as constraints.txt has it: a CPU build where there is
# no NVIDIA GPU.
set -euo pipefail
cd "$(dirname "$0")/.."
say() { printf '%s\n' "$*" >&2; }
python=${PYTHON:-python3}

"$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' ||
  { say "Python 3.11 or newer is needed; $python is $("$python" --version 2>&1). Set PYTHON=/path/to/python3.11."; exit 1; }
"$python" -m venv .venv ||
  { say "Could not make .venv. On Debian or Ubuntu: sudo apt install python3-venv"; exit 1; }
pip() { .venv/bin/python -m pip --disable-pip-version-check install --quiet "$@"; }

say "Installing into .venv (some minutes the first time) ..."
# All but torch by its SHA-256: another file than the locked one is refused, whichever index it came from.
pip --require-hashes --no-deps -r requirements.lock
torch=$(grep '^torch==' constraints.txt)
if ! nvidia-smi -L >/dev/null 2>&1; then
  say "No NVIDIA GPU: installing torch for the CPU."
  cpu_builds=https://download.pytorch.org/whl/cpu
  if "$python" -c "import urllib.request as u; u.urlopen('$cpu_builds/torch/', timeout=8)" >/dev/null 2>&1; then
    pip --no-deps --index-url "$cpu_builds" "$torch"   # from one index: no name can be taken from another
  fi
  # Tests run the CUDA kernels in Triton's interpreter; CUDA builds of torch bring their own.
  pip --require-hashes --no-deps -r scripts/triton.lock
else
  say "NVIDIA GPU found: installing torch with CUDA."
fi
pip -c constraints.txt "$torch"   # or only what it still needs
pip --no-deps -e .

if ! .venv/bin/python -c 'import cv2' 2>/dev/null; then
  say "OpenCV lacks the system's libGL: taking its headless build, the same without windows."
  .venv/bin/python -m pip uninstall -q -y opencv-python
  pip --require-hashes --no-deps -r scripts/headless.lock
fi
touch .venv/ready
