#!/bin/bash
# clock.sh - the guest's clock against the host's over CLOCK_SECONDS (60): it may
# be off by 1% at most.  With kvm-clock and with the TSC as the clock source,
# idle and with all vCPUs busy; the four guests run at the same time.
set -u
. "$(dirname "$0")/boot.sh"
kernel=$(scripts/fetch-kernel.sh) || exit 1
seconds=${CLOCK_SECONDS:-60}
dir=$out/clock
rm -rf $dir
mkdir -p $dir

# The guest says what time it is and the host notes when that line arrives.
# "sleep" tests the timers, /proc/uptime the clock source.
guest() { # LOAD
	cat <<END
echo "ring3-clock: source \$(cat /sys/devices/system/clocksource/clocksource0/current_clocksource)"
for i in 1 2; do
	[ $1 = idle ] || (while :; do :; done) &
done
sleep 1
echo "ring3-clock: time \$(cut -d ' ' -f 1 /proc/uptime)"
sleep $seconds
echo "ring3-clock: time \$(cut -d ' ' -f 1 /proc/uptime)"
poweroff -f
END
}

# stamp - copies stdin, with the host's time in front of each of our lines.
stamp() {
	local line

	while IFS= read -r line; do
		case $line in
		ring3-clock:*) echo "$EPOCHREALTIME ${line%$'\r'}" ;;
		*) echo "$line" ;;
		esac
	done
}

# run_guest SOURCE LOAD
run_guest() {
	local initrd

	initrd=$(guest "$2" | make_initrd "clock-$2-$1") || return 1
	timeout -k 5 $((seconds * 2 + 60)) "$ring3" run --accel ring3 \
		--kernel "$kernel" --initrd "$initrd" --mem 256M --cpus 2 \
		--append "console=ttyS0 panic=-1 clocksource=$1 tsc=reliable" \
		</dev/null 2>"$dir/$1-$2.err" | stamp >"$dir/$1-$2.log"
}

# judge SOURCE LOAD
judge() {
	local log=$dir/$1-$2.log

	awk -v want="$1" -v seconds="$seconds" '
	BEGIN { n = 0 }
	/ring3-clock: source/ { source = $NF }
	/ring3-clock: time/ { host[n] = $1; guest[n++] = $NF }
	END {
		if (n != 2 || source != want) {
			printf "source %s, %d samples\n", source, n
			exit 1
		}
		h = host[1] - host[0]
		g = guest[1] - guest[0]
		off = (g - h) / h * 100
		printf "guest %.2f s, host %.2f s, %+.3f%%, sleep %d took %.2f s\n",
			g, h, off, seconds, g
		exit !(off < 1 && off > -1 && g > seconds * 0.99)
	}' "$log" >"$log.verdict"
	result "$1-$2" $(($? == 0)) "($(cat "$log.verdict"))"
	clean_log "$log" || result "$1-$2-log" 0 "($log)"
}

for load in idle busy; do
	for source in kvm-clock tsc; do
		run_guest $source $load &
	done
done
wait
for load in idle busy; do
	for source in kvm-clock tsc; do
		judge $source $load
	done
done
finish
