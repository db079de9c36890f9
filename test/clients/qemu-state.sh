# qemu-state.sh - sourced by qemu-cases.sh: a guest that goes on elsewhere.
# shellcheck shell=bash
