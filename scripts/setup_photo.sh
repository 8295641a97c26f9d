#!/usr/bin/env bash
# Makes .venv-photo, which holds MediaPipe for `annotate` and `serve`. It stands apart because the last release whose
# models lie in the package wants an older numpy and protobuf than everything else. Nothing is downloaded later.
set -euo pipefail
cd "$(dirname "$0")/.."
python=${PYTHON:-python3}
folder=${1:-.venv-photo}
"$python" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 13))' ||
  { echo "MediaPipe 0.10.21 needs Python 3.11 or 3.12. Set PYTHON=/path/to/python3.11." >&2; exit 1; }
"$python" -m venv "$folder"
pip() { "$folder/bin/python" -m pip --disable-pip-version-check install --quiet "$@"; }
pip --require-hashes --no-deps -r scripts/photo.lock
"$folder/bin/python" -c "from mediapipe.python.solutions.pose import Pose" 2>/dev/null ||
  { echo "MediaPipe does not start in $folder; on Debian or Ubuntu try: sudo apt install libgl1 libegl1 libgles2" >&2; exit 1; }
echo "MediaPipe is ready: $folder/bin/python" >&2
