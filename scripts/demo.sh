#!/usr/bin/env bash
# The main job on a synthetic dataset, in a few minutes on two cores: data, check, masks, shards,
# fine-tuning from upper bodies to all three categories, evaluation, dressed people. Everything
# lands in demo/ (or in the folder given), with a page at the end.
set -euo pipefail
cd "$(dirname "$0")/.."
out=${1:-demo}
run=.venv/bin/fittingroom
began=$SECONDS
times=()
bold='' plain=''
if [ -t 2 ] && [ -z "${NO_COLOR:-}" ]; then bold=$'\033[1m' plain=$'\033[0m'; fi
step() {  # step NAME COMMAND ...: shows what runs, and how long it took
  local name=$1 started=$SECONDS; shift
  printf '\n%s== %s%s\n   fittingroom %s\n' "$bold" "$name" "$plain" "$*" >&2
  "$run" "$@"
  times+=("$(printf '%4d s  %s' $((SECONDS - started)) "$name")")
}
rm -rf "$out"; mkdir -p "$out"

step "synthetic dataset"       make-sample "$out/data" --pairs 200 --test-pairs 8 --size 512x384 --flows
# Drawn people carry the faults of real annotations: check ends with 1 where it finds one.
step "check"                   check "$out/data" --exclude "$out/leave-out.txt" || true
leave_out=(--exclude "$out/leave-out.txt")
step "masks and shards, train" preprocess "$out/data" "$out/shards/train" --size 128x96 --flows "${leave_out[@]}"
for split in test_paired test_unpaired; do
  step "masks and shards, $split" preprocess "$out/data" "$out/shards/$split" --split $split --size 256x192 "${leave_out[@]}"
done
step "mask report"             inspect-mask "$out/data" --sample 24 --size 512x384 --out "$out/masks.html" --sheet "$out/masks.jpg"
step "fine-tuning"             train "$out/shards/train" "$out/run" --init drawn-upper --perceptual none \
  --epochs 3 --batch-size 4 --lr 1e-3 --light-rate 0.02 --schedule cosine --warmup 20 --clip 1 --ema 0.98 --workers 0 \
  --statistics recalibrate --recalibration 48 --validation-limit 30 --best ssim_inside --pictures 2
step "evaluation"              evaluate "$out/run/best.pt" "$out/shards/test_paired" "$out/shards/test_unpaired" --json "$out/metrics.json" --html "$out/metrics.html"
step "dressed, same garment"   try-on "$out/run/best.pt" --shards "$out/shards/test_paired" --panel --sheet "$out/dressed.jpg" --out "$out/dressed/paired"
step "dressed, other garment"  try-on "$out/run/best.pt" --shards "$out/shards/test_unpaired" --panel --sheet "$out/dressed_other.jpg" --out "$out/dressed/unpaired"
step "what lies behind"        try-on "$out/run/best.pt" --shards "$out/shards/test_unpaired" --limit 1 --explain --out "$out/explained"

printf '\n'; printf '%s\n' "${times[@]}" "$(printf '%4d s  in all' $((SECONDS - began)))"
cat <<EOF

Look at
  $out/dressed.jpg            person, garment, masked person, result, truth, for each category
  $out/dressed_other.jpg      the same people in other garments; every one of them is in $out/dressed/
  $out/run/progress_*.png     what fine-tuning brought: people of the held-out part, from upper-body weights to the last epoch
  $out/explained/             the warped garment alone, its weight, single flows
  $out/masks.html             masks of 24 people with their scores; $out/masks.jpg as one picture
  $out/metrics.html           the figures per category
EOF
