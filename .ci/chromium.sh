#!/bin/sh
# Install Chromium (about 300 MB unpacked) for the tests of the page, if no such browser is there and this is Debian, as
# root. Elsewhere install it yourself, or name its program in ALIGN_EVAL_CHROMIUM.
set -u

there() {
    [ -n "${ALIGN_EVAL_CHROMIUM:-}" ] || command -v chromium > /dev/null || command -v chromium-browser > /dev/null \
        || command -v google-chrome > /dev/null
}

there && exit 0
if [ "$(id -u)" != 0 ] || ! command -v apt-get > /dev/null; then
    echo "No Chromium: the browser tests of the page are skipped. Install: chromium" >&2
    exit 0
fi
echo "Installing Chromium for the tests of the page"
install="apt-get install -y -qq --no-install-recommends -o DPkg::Lock::Timeout=300 chromium"
export DEBIAN_FRONTEND=noninteractive
$install > /dev/null 2>&1 || { apt-get update -qq && $install; } > /dev/null 2>&1
there || echo "Chromium could not be installed: the browser tests of the page are skipped" >&2
exit 0
