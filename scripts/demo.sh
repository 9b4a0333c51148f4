#!/usr/bin/env bash
# From nothing to measures in a few minutes: writes the sample images, trains on their noisy
# annotations with a few clean ones, and applies the model to the test images. All in demo/.
set -eu
. "$(dirname "$0")/common.sh"

[ -x "$python" ] || fail "There is no environment yet: run 'make setup' first."
noisyseg() {
    printf '\n$ napari-noisyseg %s\n' "$*"
    "$programs/napari-noisyseg" "$@" </dev/null
}

rm -rf demo/data demo/run demo/results
mkdir -p demo
noisyseg sample demo/data
noisyseg train demo/data --out demo/run --size 96 --epochs 12
noisyseg predict demo/run demo/data/test_img --gt demo/data/test_gt --out demo/results
printf '\nThe learned weights are in demo/run/weights, the predictions in demo/results.\n'

if [ "$(uname -s)" = Darwin ] || [ -n "${DISPLAY:-}${WAYLAND_DISPLAY:-}" ]; then
    printf 'napari opens: orange pixels of an annotation are doubted, the slider shows all images.\n'
    exec "$programs/napari" --plugin napari-noisyseg demo/run
fi
"$python" scripts/demo_pictures.py demo
printf 'On a machine with a screen: %s/napari --plugin napari-noisyseg demo/run\n' "$programs"
