# make bench KIT=DIR [W=..] [SCALE=..] [ROUNDS=..] [REAL=1]: speed, as ratios to
# native; bench/README tells what the kit is, bench/run.sh all settings.
bench: $O/ring3
	$(Q)scripts/deps.sh boot
	$(Q)KIT="$(KIT)" bench/run.sh
.PHONY: bench
