#!/bin/sh
# Install fonts for Arabic, Hebrew and Indic (fonts-noto-core: 12 MB, 43 MB unpacked) and for Chinese, Japanese and
# Korean (fonts-wqy-microhei: 2 MB, 5 MB unpacked), if they are missing and this is Debian or Ubuntu, as root.
# Usage: fonts.sh PYTHON
set -u
packages="fonts-noto-core fonts-wqy-microhei"

covered() {
    "$1" -c 'import sys; from align_eval.figures.style import covers; sys.exit(not covers("物かな한글अबअשל"))'
}

covered "$1" && exit 0
if [ "$(id -u)" != 0 ] || ! command -v apt-get > /dev/null; then
    echo "No fonts for all scripts: tests of figures that need them are skipped. Install: $packages" >&2
    exit 0
fi
echo "Installing fonts for the tests of figures: $packages"
install="apt-get install -y -qq --no-install-recommends -o DPkg::Lock::Timeout=300"
export DEBIAN_FRONTEND=noninteractive
# shellcheck disable=SC2086
$install $packages > /dev/null 2>&1 || { apt-get update -qq && $install $packages; } > /dev/null 2>&1
covered "$1" || echo "The fonts could not be installed: tests of figures that need them are skipped" >&2
exit 0
