#!/bin/bash
# The packed crate as `cargo install latentlab --features tool` gets it: unpacked, installed and used far from the
# checkout, with a home of its own. After `cargo package --no-verify`, which writes the crate.
#
#     bash .ci/crate/try.sh target/package/latentlab-0.1.0.crate [FOLDER]
#
# A folder that is named is left there. With SETUP=1 it goes on to `latentlab setup`, ten minutes: the programs are in
# FOLDER/prefix then, and a notebook is executed there.
set -euo pipefail
crate=$(realpath "$1")
name=$(basename "$crate" .crate)
folder=${2:-}
if [ -z "$folder" ]; then
    folder=$(mktemp -d)
    trap 'rm -rf "$folder"' EXIT
fi
mkdir -p "$folder/home" "$folder/elsewhere"
folder=$(realpath "$folder")
# Rust's programs and cargo's settings and cache stay where they are.
export RUSTUP_HOME=${RUSTUP_HOME:-$HOME/.rustup} CARGO_HOME=${CARGO_HOME:-$HOME/.cargo}
export HOME=$folder/home LATENTLAB_OFFLINE=1
unset CARGO_TARGET_DIR LATENTLAB_PROJECT LATENTLAB_JUPYTER LATENTLAB_DATA XDG_CACHE_HOME

tar --extract --gzip --file "$crate" --directory "$folder"
echo "packed $(stat --format %s "$crate") bytes, unpacked $(du --summarize --bytes "$folder/$name" | cut --fields 1)"
cd "$folder/elsewhere"
cargo install --locked --quiet --path "$folder/$name" --features tool --target-dir "$folder/target" --root "$folder/installed"
latentlab=$folder/installed/bin/latentlab
"$latentlab" --version
"$latentlab" lessons lessons
for notebook in "$folder/$name"/notebooks/*.ipynb; do
    cmp "$notebook" "lessons/$(basename "$notebook")"
done
"$latentlab" worker --help >/dev/null
if [ -n "${SETUP:-}" ]; then
    "$latentlab" setup --prefix "$folder/prefix"
    "$folder/prefix/bin/latentlab" run lessons/00_start_here.ipynb --smoke --data built-in
fi
echo "$name installs and works without its checkout"
