#!/usr/bin/env bash
# Makes the weights that come with the program, drawn and drawn-upper, from nothing: drawn people,
# shards, training, figures, files. Seeded; every step goes on where it was stopped. About six
# hours on two processor cores, minutes on a GPU.
#   scripts/pretrain.sh [FOLDER]     FOLDER (pretrained/) takes 3 GB; DEVICE=cuda, WORKERS=4 help on a GPU
set -euo pipefail
cd "$(dirname "$0")/.."
out=${1:-pretrained}
run=${FITTINGROOM:-.venv/bin/fittingroom}
weights=model/network/weights
mkdir -p "$out"

shards() {  # shards NAME SIZE ARGUMENTS ...: preprocess goes on by itself
  local name=$1 size=$2; shift 2
  "$run" preprocess "$out/data" "$out/$name-$size" --size "$size" --flows "$@"
}

# What is the same in every run. Flows learn from the truth that drawn people bring.
same=(--perceptual none --batch-size 8 --light-rate 0.02 --schedule cosine --clip 1 --ema 0.995
  --statistics recalibrate --recalibration 64 --mask-style mix --validation-share 0.02
  --validation-limit 60 --best ssim_inside --pictures 2 --save-minutes 3
  --workers "${WORKERS:-0}" ${DEVICE:+--device "$DEVICE"})

learn() {  # learn NAME SHARDS ARGUMENTS ...: trains, or goes on; the last options say how it begins
  local name=$1 data=$2; shift 2
  if grep -qs '"stopped": null' "$out/$name/summary.json"; then return; fi
  local begin=("$@")
  if [ -e "$out/$name/last.pt" ]; then begin=(--resume); fi
  "$run" train "$out/$data" "$out/$name" "${same[@]}" "${begin[@]}"
}

[ -e "$out/data/sample.json" ] ||
  "$run" make-sample "$out/data" --pairs 1400 --test-pairs 60 --size 512x384 --seed 2026 --flows
shards train 128x96
shards train 256x192
shards upper 128x96 --category upper_body
shards upper 256x192 --category upper_body
for size in 128x96 256x192; do shards test_paired $size --split test_paired; done

# Coarse levels first, for three fifths of the time; then all of them; then larger pictures.
learn upper-1 upper-128x96 --preset small --lr 2e-3 --warmup 100 --coarse-first 0.6 --epochs 16
learn upper-2 upper-256x192 --init "$out/upper-1/best.pt" --lr 8e-4 --warmup 50 --epochs 5
learn all-1 train-128x96 --preset small --lr 2e-3 --warmup 100 --coarse-first 0.6 --epochs 9
learn all-2 train-128x96 --init "$out/all-1/best.pt" --lr 1.5e-3 --warmup 50 --epochs 5
learn all-3 train-256x192 --init "$out/all-2/best.pt" --lr 6e-4 --warmup 50 --epochs 2
learn all-4 train-256x192 --init "$out/all-3/best.pt" --lr 6e-4 --warmup 50 --epochs 2

made='Made by scripts/pretrain.sh, on drawn people alone (make-sample, seed 2026): no photo was used, the
weights bear the licence of the program (MIT). The figures are of 30 unseen drawn people in each category.
On photos the network is a first look and a beginning for fine-tuning, no measure of the method.'
mkdir -p "$weights"
for pair in upper-2:drawn-upper all-4:drawn; do
  best=$out/${pair%%:*}/best.pt name=${pair##*:}
  "$run" evaluate "$best" "$out/test_paired-256x192" --limit 30 --json "$out/$name.json"
  "$run" export "$best" "$weights/$name.safetensors" --half --evaluation "$out/$name.json" \
    --remark "$made"
done
