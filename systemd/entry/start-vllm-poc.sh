#!/bin/sh
# start-vllm-poc.sh: kept for user-data and people that call it. Everything is done by gonka-node.service now.
echo "start-vllm-poc.sh: gonka-node.service does this now; starting it in the background (gonka-node status shows it, journalctl -u gonka-node tells more)"
exec systemctl start --no-block gonka-node.service
