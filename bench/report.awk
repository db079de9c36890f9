# report.awk - the table of `make bench`: awk -f report.awk LIST LOG...
# LIST is the kit's `bench -l`; a LOG's name is SERIES.ROUND.log, where the series
# are native, ring3-1, ring3-2, ..., tcg.
#
# Times are CPU seconds: natively user and system time of the workload, on a VM
# that of its whole process between the workload's first and last line.  A ratio
# is median / native median; its spread, in brackets, is that of each round's
# time to the same round's native one.  A group's figure is the geometric mean of
# its workloads' ratios, its spread that of the rounds' geometric means.
# sleep_100us is wall-clock time.  Marks: ! the checksum is not the native one;
# # slower than TCG; > above the bar of 10 (4 and 5 for real programs).

function see(w) {
	if (!(w in known)) {
		known[w] = 1
		order[++nr] = w
	}
}
function note(w, t) {
	see(w)
	# A workload that ran more than once in a log counts with its sum.
	time[series, round, w] += t
	runs[series, round, w]++
}
function at(s, r, w) {
	return runs[s, r, w] ? time[s, r, w] / runs[s, r, w] : -1
}
# The median of v[1..n], which is sorted.
function median_of(v, n, i, j, t) {
	for (i = 2; i <= n; i++) {
		t = v[i]
		for (j = i - 1; j > 0 && v[j] > t; j--)
			v[j + 1] = v[j]
		v[j + 1] = t
	}
	if (!n)
		return -1
	return n % 2 ? v[(n + 1) / 2] : (v[n / 2] + v[n / 2 + 1]) / 2
}
function median(s, w, v, n, r, t) {
	n = 0
	for (r = 1; r <= rounds; r++)
		if ((t = at(s, r, w)) >= 0)
			v[++n] = t
	return median_of(v, n)
}
# Sets lo and hi to the least and greatest ratio in a round.
function spread(s, w, r, a, b) {
	lo = hi = 0
	for (r = 1; r <= rounds; r++) {
		a = at("native", r, w)
		b = at(s, r, w)
		if (a <= 0 || b <= 0)
			continue
		if (!lo || b / a < lo)
			lo = b / a
		if (b / a > hi)
			hi = b / a
	}
}
function name(s) {
	return s ~ /^ring3-/ && nr_ring3 == 1 ? "ring3" : s
}
function head(k) {
	printf "%-18s %9s", "", "native s"
	for (k = 1; k <= nr_series; k++)
		printf " %9s %7s %-15s", name(list[k]) " s", "ratio", ""
	print ""
}
function bad_sum(s, w) {
	return (s, w) in sum && ("native", w) in sum &&
	       sum[s, w] != sum["native", w]
}
function bar(w) {
	if (w == "sh_spawn")
		return 5
	if (group[w] == "real")
		return 4
	return group[w] == "code" ? 0 : 10
}
function row(w, k, s, base, t, marks, tcg) {
	base = median("native", w)
	tcg = median("tcg", w)
	printf "%-18s", w
	printf base < 0 ? "         -" : " %9.3f", base
	for (k = 1; k <= nr_series; k++) {
		s = list[k]
		t = median(s, w)
		if (t < 0 || base <= 0) {
			printf t < 0 ? " %9s" : " %9.3f", t < 0 ? "-" : t
			printf " %7s %-15s", "-", ""
			continue
		}
		spread(s, w)
		marks = bad_sum(s, w) ? "!" : ""
		if (s != "tcg" && tcg >= 0 && t > tcg)
			marks = marks "#"
		if (s != "tcg" && bar(w) && t / base > bar(w))
			marks = marks ">"
		bad[s] += marks != ""
		printf " %9.3f %7.2f %-15s", t, t / base,
			sprintf("[%.2f-%.2f]%s", lo, hi, marks)
		logs[s, group[w]] += log(t / base)
		count[s, group[w]]++
		logs[s, "all"] += log(t / base)
		count[s, "all"]++
	}
	print ""
}
# The geometric mean of a group in one round; 0: nothing was measured.
function mean(s, g, r, i, w, a, b, n, l) {
	n = l = 0
	for (i = 1; i <= nr; i++) {
		w = order[i]
		if (g != "all" && group[w] != g)
			continue
		a = at("native", r, w)
		b = at(s, r, w)
		if (a > 0 && b > 0) {
			l += log(b / a)
			n++
		}
	}
	return n ? exp(l / n) : 0
}
function mean_row(g, k, s, r, m) {
	printf "%-18s %9s", g, ""
	for (k = 1; k <= nr_series; k++) {
		s = list[k]
		if (!count[s, g]) {
			printf " %9s %7s %-15s", "", "-", ""
			continue
		}
		lo = hi = 0
		for (r = 1; r <= rounds; r++) {
			m = mean(s, g, r)
			if (m && (!lo || m < lo))
				lo = m
			if (m > hi)
				hi = m
		}
		printf " %9s %7.2f %-15s", "", exp(logs[s, g] / count[s, g]),
			sprintf("[%.2f-%.2f]", lo, hi)
	}
	print ""
}

FNR == 1 && FILENAME ~ /\.log$/ {
	n = split(FILENAME, path, "/")
	split(path[n], part, ".")
	series = part[1]
	round = part[2] + 0
	if (round > rounds)
		rounds = round
	if (!(series in has)) {
		has[series] = 1
		if (series != "native")
			list[++nr_series] = series
		nr_ring3 += series ~ /^ring3-/
	}
}
FILENAME !~ /\.log$/ {
	group[$1] = $2
	if (!($2 in is_group)) {
		is_group[$2] = 1
		groups[++nr_groups] = $2
	}
	next
}
{
	gsub(/\r/, "")
	# A message of the kernel may stand in front of a line.
	for (i = 1; i < NF; i++) {
		w = $(i + 1)
		if (w ~ /^openssl_/)
			continue
		wall = w == "sleep_100us"
		if ($i == "HOST" && series != "native")
			note(w, wall ? $(i + 2) : $(i + 3))
		else if ($i == "BENCH" && series == "native" && wall)
			note(w, $(i + 2))
		else if ($i == "CPU" && series == "native" && !wall &&
			 NF >= i + 3)
			note(w, $(i + 2) + $(i + 3))
		else if ($i == "HOSTMARK" && w == "init")
			boot[series, ++boots[series]] = $(i + 3)
		else if ($i == "CHECK")
			sum[series, w] = $(i + 2)
		else if ($i == "FAIL")
			print series " round " round ": " $0
	}
}
END {
	for (i = 1; i <= nr; i++)
		if (!(order[i] in group)) {
			group[order[i]] = order[i] == "sh_spawn" ? "spawn" : "real"
			if (!(group[order[i]] in is_group)) {
				is_group[group[order[i]]] = 1
				groups[++nr_groups] = group[order[i]]
			}
		}
	head()
	for (i = 1; i <= nr; i++)
		row(order[i])
	print "\ngeometric means"
	for (i = 1; i <= nr_groups; i++)
		for (k = 1; k <= nr_series; k++)
			if (count[list[k], groups[i]]) {
				mean_row(groups[i])
				break
			}
	mean_row("all")
	print "\nboot to init's first line, CPU seconds of the process"
	for (k = 1; k <= nr_series; k++) {
		s = list[k]
		for (i = 1; i <= boots[s]; i++)
			v[i] = boot[s, i]
		m = median_of(v, boots[s])
		printf "%-18s %9.3f  [%.3f-%.3f]\n", name(s), m, v[1],
			v[boots[s]]
	}
	for (k = 1; k <= nr_series; k++)
		if (bad[list[k]])
			print name(list[k]) ": " bad[list[k]] \
				" marked (! checksum, # slower than TCG, > bar)"
}
