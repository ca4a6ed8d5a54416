#!/usr/bin/env bash
# Release a SavedModel only if all its routes agree: release.sh MODEL EXAMPLES SERVED
set -euo pipefail
model=$1 examples=$2 served=$3

skewless skew --model "$model" --examples "$examples"  # status 5 and the cause if they differ: the script ends here

version=$(date +%s)
mkdir -p "$served"
cp -r "$model" "$served/copy-of-$version"               # no number, so the server does not look at it
mv "$served/copy-of-$version" "$served/$version"        # complete when it gets its number
echo "released $served/$version"
