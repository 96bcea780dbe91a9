#!/bin/sh
# Trains the demo expert set again, from the data that scikit-learn ships and from generators.
#
#   train.sh [DIR]     writes every .net and .data file into DIR (default: examples/demo)
#   train.sh --check   trains into a temporary folder and compares byte for byte with examples/demo
#
# Needs Debian's libfann-dev, python3-sklearn and a C++20 compiler. PYTHON and CXX choose others.
set -eu

here=$(cd "$(dirname "$0")" && pwd)
demo=$(cd "$here/../demo" && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

check=no
out=$demo
case "${1-}" in
--check)
  check=yes
  out=$work/out
  ;;
-*)
  echo "usage: train.sh [--check | DIR]" >&2
  exit 2
  ;;
?*)
  out=$1
  ;;
esac
mkdir -p "$out"

# One code path of glibc's exp and sin on every processor: its FMA variants may differ in the last bit, and training
# turns the last bit into other weights. The C locale keeps libfann's decimal points.
export GLIBC_TUNABLES=glibc.cpu.hwcaps=-AVX2,-FMA,-FMA4
export LC_ALL=C

"${PYTHON:-/usr/bin/python3}" -B "$here/export_data.py" "$out" "$work"
"${CXX:-c++}" -std=c++20 -O2 "$here/train_examples.cpp" -o "$work/train_examples" -lfloatfann -lm
"$work/train_examples" "$out" "$work"

if [ "$check" = yes ]; then
  status=0
  count=0
  for file in "$demo"/*.net "$demo"/*.data; do
    cmp "$out/$(basename "$file")" "$file" || status=1
    count=$((count + 1))
  done
  for file in "$out"/*; do
    if [ ! -e "$demo/$(basename "$file")" ]; then
      echo "train.sh: $(basename "$file") is not in examples/demo" >&2
      status=1
    fi
  done
  [ "$status" = 0 ] && echo "all $count files are reproduced byte for byte"
  exit "$status"
fi
