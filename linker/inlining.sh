#!/bin/sh
# What each attribute marked `// size: inline` brings: how many bytes the init would be larger
# without it, raw and as zstd -19 packs it, for ARCH (x86_64 unless it is set). Where it says `-`,
# the init does not link without it: a panic becomes reachable. Takes some seconds for each of them,
# in a copy of the repository.
set -eu
here=$(cd "$(dirname "$0")/.." && pwd)
arch=${ARCH:-x86_64}
copy=$(mktemp -d)
trap 'rm -rf "$copy"' EXIT
cd "$here"
cargo build --quiet --package xtask
tar --create --exclude=./target --exclude=./.git . | tar --extract --directory "$copy"

# Bytes of the init as the copy makes it: raw, then packed.
bytes() {
    init=$copy/target/toehold/$arch/init
    rm -f "$init"
    if CARGO_MANIFEST_DIR=$copy/xtask target/debug/xtask build --arch "$arch" >"$copy/log" 2>&1; then
        echo "$(wc -c <"$init") $(zstd -19 --quiet --stdout "$init" | wc -c)"
    fi
}

all=$(bytes)
[ -n "$all" ] || { cat "$copy/log"; exit 1; }
echo "with all of them: $all"
grep -rn '// size: inline' src | cut -d: -f1,2 | while IFS=: read -r file line; do
    cp "$file" "$copy/saved"
    sed "${line}s|#\[inline[^]]*\] // size: inline|// &|" "$copy/saved" >"$copy/$file"
    without=$(bytes)
    cp "$copy/saved" "$copy/$file"
    what=$(tail -n "+$line" "$file" | grep -m 1 -o 'fn [a-z_0-9]*' || true)
    if [ -n "$without" ]; then
        echo "$all $without" | awk -v where="$file:$line $what" '{ printf "%6d %6d  %s\n", $3 - $1, $4 - $2, where }'
    else
        echo "     -      -  $file:$line $what"
    fi
done
