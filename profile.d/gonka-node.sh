# PATH and completion of the gonka-node program. No settings live here: they are in /etc/gonka-container.env.
case ":$PATH:" in
  *:/opt/gonka-node/current/bin:*) ;;
  *) PATH="$PATH:/opt/gonka-node/current/bin" ;;
esac
if [ -n "${BASH_VERSION:-}" ] && [ -r /opt/gonka-node/current/share/completion.bash ]; then
  . /opt/gonka-node/current/share/completion.bash
fi
