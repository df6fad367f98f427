#!/bin/sh
# Installs this release of gonka-node and enables it: ./install.sh [--now]
# Works in an image build (no running systemd) and over an older release: that stays beside it until the next install, since
# a running daemon may still load files from it. --now starts or restarts the service (engines survive a restart).
set -eu
here=$(cd "$(dirname "$0")" && pwd)
now=no
case "${1:-}" in
  '') ;;
  --now) now=yes ;;
  *) echo "usage: $0 [--now]" >&2; exit 2 ;;
esac
[ "$(id -u)" = 0 ] || { echo "$0: must run as root" >&2; exit 1; }

root=/opt/gonka-node
release="$root/releases/$(cat "$here/RELEASE")"
mkdir -p "$root/releases"
if [ "$here" != "$release" ]; then
  rm -rf "$release.new"
  cp -a "$here" "$release.new"
  chown -R 0:0 "$release.new"
  chmod -R go-w,a+rX "$release.new"
  rm -rf "$release"
  mv "$release.new" "$release"
fi
previous=$(readlink "$root/current" 2>/dev/null || true)
ln -sfn "$release" "$root/current.new"
mv -T "$root/current.new" "$root/current"
for old in "$root"/releases/*; do
  [ "$old" = "$release" ] || [ "$old" = "$previous" ] || rm -rf "$old"
done

ln -sfn "$root/current/bin/gonka-node" /usr/bin/gonka-node
for unit in gonka-node.service gonka-node-config.path gonka-node-sweep.service; do
  install -D -m 0644 "$release/systemd/$unit" "/usr/lib/systemd/system/$unit"
done
install -D -m 0644 "$release/systemd/sysusers.conf" /usr/lib/sysusers.d/gonka-node.conf
install -D -m 0644 "$release/systemd/tmpfiles.conf" /usr/lib/tmpfiles.d/gonka-node.conf
install -D -m 0644 "$release/systemd/gonka-container.env.example" /usr/share/doc/gonka-node/gonka-container.env.example
install -D -m 0644 "$release/profile.d/gonka-node.sh" /etc/profile.d/gonka-node.sh
# Where each shell looks by itself; profile.d has it for a bash without bash-completion.
install -D -m 0644 "$release/share/completion.bash" /usr/share/bash-completion/completions/gonka-node
install -D -m 0644 "$release/share/completion.zsh" /usr/local/share/zsh/site-functions/_gonka-node
for entry in "$release"/systemd/entry/*.sh; do
  install -D -m 0755 "$entry" "/usr/local/bin/$(basename "$entry")"
done

systemd-sysusers /usr/lib/sysusers.d/gonka-node.conf
systemd-tmpfiles --create /usr/lib/tmpfiles.d/gonka-node.conf
# A unit of the scripts that we replace would stand in the way of the alias.
if [ -f /etc/systemd/system/vllm-poc.service ] && [ ! -L /etc/systemd/system/vllm-poc.service ]; then
  mv /etc/systemd/system/vllm-poc.service /etc/systemd/system/vllm-poc.service.replaced-by-gonka-node
fi
if [ -d /run/systemd/system ]; then systemctl daemon-reload; fi
systemctl enable gonka-node.service
if [ "$now" = yes ]; then systemctl restart --no-block gonka-node.service; fi
echo "gonka-node $(cat "$release/RELEASE") is installed and enabled; settings: /etc/gonka-container.env, example: /usr/share/doc/gonka-node/gonka-container.env.example"
