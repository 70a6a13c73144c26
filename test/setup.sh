#!/bin/sh
# Installs what the tests need, where that is possible, or says what to install.
# git is a must. Without OpenSSH's ssh-keygen the tests that need it are skipped,
# and say so.
set -eu

need=""
command -v git >/dev/null 2>&1 || need="$need git"
command -v ssh-keygen >/dev/null 2>&1 || need="$need openssh-client"
[ -n "$need" ] || exit 0

if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null 2>&1; then
	echo "installing:$need"
	apt-get update -qq
	# shellcheck disable=SC2086 # one word per package
	DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $need
elif ! command -v git >/dev/null 2>&1; then
	echo "the tests need git 2.38 or later: please install it" >&2
	exit 1
else
	echo "ssh-keygen isn't installed: tests that need it will be skipped. Install OpenSSH's client to run them." >&2
fi
