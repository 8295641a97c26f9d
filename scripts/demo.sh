#!/usr/bin/env bash
# The main job on a synthetic dataset, in a few minutes on two cores: data, check, masks, shards, training,
# evaluation, dressed people. Everything lands in demo/ (or in the folder given), with a page at the end.
set -euo pipefail
cd "$(dirname "$0")/.."
out=${1:-demo}
run=.venv/bin/fittingroom
began=$SECONDS
times=()
step() {  # step NAME COMMAND ...: shows what runs, and how long it took
  local name=$1 started=$SECONDS; shift
  printf '\n\033[1m== %s\033[0m\n   fittingroom %s\n' "$name" "$*" >&2
  "$run" "$@"
  times+=("$(printf '%4d s  %s' $((SECONDS - started)) "$name")")
}
rm -rf "$out"; mkdir -p "$out"

step "synthetic dataset"       make-sample "$out/data" --pairs 210 --test-pairs 8 --size 512x384
step "check"                   check "$out/data"
for split in train test_paired test_unpaired; do
  step "masks and shards, $split" preprocess "$out/data" "$out/shards/$split" --split $split --size 128x96
done
step "mask report"             inspect-mask "$out/data" --sample 24 --size 512x384 --out "$out/masks.html" --sheet "$out/masks.jpg"
step "training"                train "$out/shards/train" "$out/run" --preset small --perceptual none \
  --epochs 4 --batch-size 4 --lr 5e-4 --light-rate 0.02 --schedule cosine --warmup 20 --clip 1 --ema 0.99 --workers 0 \
  --validation-limit 30 --best ssim_inside --recalibration 24 --pictures 2 --max-minutes 4.6 --unpaired "$out/shards/test_unpaired"
step "evaluation"              evaluate "$out/run/best.pt" "$out/shards/test_paired" "$out/shards/test_unpaired" --json "$out/metrics.json" --html "$out/metrics.html"
step "dressed, same garment"   try-on "$out/run/best.pt" --shards "$out/shards/test_paired" --panel --sheet "$out/dressed.jpg" --out "$out/dressed/paired"
step "dressed, other garment"  try-on "$out/run/best.pt" --shards "$out/shards/test_unpaired" --panel --sheet "$out/dressed_other.jpg" --out "$out/dressed/unpaired"

printf '\n'; printf '%s\n' "${times[@]}" "$(printf '%4d s  in all' $((SECONDS - began)))"
cat <<EOF

Look at
  $out/dressed.jpg            person, garment, masked person, result, truth, for each category
  $out/dressed_other.jpg      the same people in other garments; every one of them is in $out/dressed/
  $out/run/progress_*.png     people of the held-out part, from before training to its end
  $out/masks.html             masks of 24 people with their scores; $out/masks.jpg as one picture
  $out/metrics.html           the figures per category
EOF
