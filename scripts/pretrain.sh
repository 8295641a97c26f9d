#!/usr/bin/env bash
# Makes the weights that come with the program, drawn and drawn-upper, from nothing: drawn people,
# shards, training, figures, files. Seeded; every step goes on where it was stopped. About twelve
# hours on one processor core (a Xeon), two thirds of that on a newer one; less on a GPU.
#   scripts/pretrain.sh [FOLDER]     FOLDER (pretrained/) takes 8 GB; DEVICE=cuda, WORKERS=4 help on a GPU
set -euo pipefail
cd "$(dirname "$0")/.."
out=${1:-pretrained}
run=${FITTINGROOM:-.venv/bin/fittingroom}
weights=model/network/weights
mkdir -p "$out"

people() {  # people FOLDER SEED PAIRS ARGUMENTS ...: drawn, or there already
  local folder=$1 seed=$2 pairs=$3; shift 3
  [ -e "$out/$folder/sample.json" ] ||
    "$run" make-sample "$out/$folder" --pairs "$pairs" --test-pairs 60 --size 512x384 \
      --seed "$seed" --flows "$@"
}

shards() {  # shards DATA NAME SIZE ARGUMENTS ...: preprocess goes on by itself
  local data=$1 name=$2 size=$3; shift 3
  # A drawn label map may lack the garment, as real ones do: such people are left out.
  "$run" preprocess "$out/$data" "$out/$name-$size" --size "$size" --flows --max-skips 40 "$@"
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

people data 2026 1400
people data-2 2027 1400
people data-3 2028 3400
people data-4 2029 3400 --category upper_body
for size in 128x96 256x192; do
  shards data train $size
  shards data upper $size --category upper_body
  shards data test_paired $size --split test_paired
done
shards data-2 others 256x192
shards data-3 more 256x192
shards data-4 fresh 256x192

# Coarse levels first, for three fifths of the time; then all of them; then larger pictures.
learn upper-1 upper-128x96 --preset small --lr 2e-3 --warmup 100 --coarse-first 0.6 --epochs 16
learn upper-2 upper-256x192 --init "$out/upper-1/best.pt" --lr 8e-4 --warmup 50 --epochs 5
learn upper-3 fresh-256x192 --init "$out/upper-2/best.pt" --lr 8e-4 --warmup 50 --epochs 5
learn all-1 train-128x96 --preset small --lr 2e-3 --warmup 100 --coarse-first 0.6 --epochs 9
learn all-2 train-128x96 --init "$out/all-1/best.pt" --lr 1.5e-3 --warmup 50 --epochs 5
learn all-3 train-256x192 --init "$out/all-2/best.pt" --lr 6e-4 --warmup 50 --epochs 2
learn all-4 train-256x192 --init "$out/all-3/best.pt" --lr 6e-4 --warmup 50 --epochs 2
# Other people, and more of them: what was learnt on 4,200 of them still grows on 14,400.
learn all-5 others-256x192 --init "$out/all-4/best.pt" --lr 8e-4 --warmup 50 --epochs 4
learn all-6 more-256x192 --init "$out/all-5/best.pt" --lr 8e-4 --warmup 50 --epochs 5

made='Made by scripts/pretrain.sh, on drawn people alone (make-sample, seeds 2026 to 2029): no photo was used, the
weights bear the licence of the program (MIT). The figures are of 30 unseen drawn people in each category.
On photos the network is a first look and a beginning for fine-tuning, no measure of the method.'
mkdir -p "$weights"
for pair in upper-3:drawn-upper all-6:drawn; do
  best=$out/${pair%%:*}/best.pt name=${pair##*:}
  "$run" evaluate "$best" "$out/test_paired-256x192" --limit 30 --json "$out/$name.json"
  "$run" export "$best" "$weights/$name.safetensors" --half --evaluation "$out/$name.json" \
    --remark "$made"
done
