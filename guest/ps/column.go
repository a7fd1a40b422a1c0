package ps

import (
	"fmt"
	"strconv"
	"time"
)

// column is one field of the output.
type column struct {
	title string
	show  func(*System, *process) string
}

func number(f func(*process) int) func(*System, *process) string {
	return func(_ *System, p *process) string { return strconv.Itoa(f(p)) }
}

func text(f func(*process) string) func(*System, *process) string {
	return func(_ *System, p *process) string { return f(p) }
}

var (
	showUser  = func(s *System, p *process) string { return named(s.User, p.euid) }
	showRuser = func(s *System, p *process) string { return named(s.User, p.ruid) }
	showGroup = func(s *System, p *process) string { return named(s.Group, p.egid) }
	showTime  = text(func(p *process) string { return clock(p.used, true) })
	showCPU   = func(s *System, p *process) string { return tenths(min(p.perMille(s), 999)) }
	showC     = func(s *System, p *process) string { return strconv.Itoa(min(p.perMille(s)/10, 99)) }
	showMem   = func(s *System, p *process) string { return tenths(int(min(p.rss*1000/max(s.Memory, 1), 999))) }
	showStart = func(s *System, p *process) string { return startTime(p.start(s), s.Now) }
	showLong  = func(s *System, p *process) string { return p.start(s).Format(time.ANSIC) }
	showBSD   = func(s *System, p *process) string { return bsdStart(p.start(s), s.Now) }
	showAge   = func(s *System, p *process) string { return clock(p.age(s), false) }
	showAgeS  = func(s *System, p *process) string { return strconv.Itoa(int(p.age(s) / time.Second)) }
	showStat  = text((*process).stat)
	showTTY   = text((*process).tty)
	showArgs  = text((*process).commandLine)
	showName  = text((*process).name)
	showVSZ   = number(func(p *process) int { return int(p.vsize / 1024) })
	showRSS   = number(func(p *process) int { return int(p.rss / 1024) })
	showSize  = number(func(p *process) int { return int(p.vsize / 4096) })
	showPgrp  = number(func(p *process) int { return p.pgrp })
	showSess  = number(func(p *process) int { return p.session })
	showNice  = number(func(p *process) int { return p.nice })
)

// columns are those that -o knows, by all their names.
var columns = map[string]column{
	"%cpu": {"%CPU", showCPU}, "pcpu": {"%CPU", showCPU}, "c": {"C", showC}, "cp": {"CP", func(s *System, p *process) string { return strconv.Itoa(min(p.perMille(s), 999)) }},
	"%mem": {"%MEM", showMem}, "pmem": {"%MEM", showMem},
	"args": {"COMMAND", showArgs}, "cmd": {"CMD", showArgs}, "command": {"COMMAND", showArgs},
	"comm": {"COMMAND", showName}, "ucmd": {"CMD", showName}, "ucomm": {"COMMAND", showName},
	"bsdstart": {"START", showBSD}, "bsdtime": {"TIME", text(func(p *process) string { return minutes(p.used) })},
	"cputime": {"TIME", showTime}, "time": {"TIME", showTime}, "times": {"TIME", number(func(p *process) int { return int(p.used / time.Second) })},
	"etime": {"ELAPSED", showAge}, "etimes": {"ELAPSED", showAgeS},
	"lstart": {"STARTED", showLong}, "start": {"STARTED", showClock}, "start_time": {"START", showStart}, "stime": {"STIME", showStart},
	"euid": {"EUID", number(func(p *process) int { return p.euid })}, "uid": {"UID", number(func(p *process) int { return p.euid })},
	"ruid": {"RUID", number(func(p *process) int { return p.ruid })},
	"user": {"USER", showUser}, "euser": {"EUSER", showUser}, "uname": {"USER", showUser}, "ruser": {"RUSER", showRuser},
	"egid": {"EGID", number(func(p *process) int { return p.egid })}, "gid": {"GID", number(func(p *process) int { return p.egid })},
	"rgid": {"RGID", number(func(p *process) int { return p.rgid })}, "group": {"GROUP", showGroup}, "egroup": {"EGROUP", showGroup},
	"pid": {"PID", number(func(p *process) int { return p.pid })}, "tgid": {"TGID", number(func(p *process) int { return p.pid })},
	"ppid": {"PPID", number(func(p *process) int { return p.ppid })},
	"pgid": {"PGID", showPgrp}, "pgrp": {"PGRP", showPgrp}, "sid": {"SID", showSess}, "sess": {"SESS", showSess}, "session": {"SESS", showSess},
	"tpgid": {"TPGID", number(func(p *process) int { return p.tpgid })},
	"tty":   {"TT", showTTY}, "tt": {"TT", showTTY}, "tname": {"TTY", showTTY},
	"stat": {"STAT", showStat}, "s": {"S", text(func(p *process) string { return p.state })}, "state": {"S", text(func(p *process) string { return p.state })},
	"ni": {"NI", showNice}, "nice": {"NI", showNice}, "pri": {"PRI", number(func(p *process) int { return 39 - p.priority })},
	"rtprio": {"RTPRIO", text(func(p *process) string { return orDash(p.rtprio) })}, "cls": {"CLS", text((*process).class)}, "class": {"CLS", text((*process).class)},
	"nlwp": {"NLWP", number(func(p *process) int { return p.threads })}, "thcount": {"THCNT", number(func(p *process) int { return p.threads })},
	"psr": {"PSR", number(func(p *process) int { return p.lastCPU })},
	"rss": {"RSS", showRSS}, "rssize": {"RSS", showRSS}, "rsz": {"RSZ", showRSS}, "vsz": {"VSZ", showVSZ}, "vsize": {"VSZ", showVSZ}, "sz": {"SZ", showSize},
	"f": {"F", text(func(p *process) string { return strconv.FormatInt(int64(p.flags>>6&7), 8) })},
}

func showClock(s *System, p *process) string {
	if p.age(s) > 24*time.Hour {
		return p.start(s).Format("Jan 02")
	}
	return p.start(s).Format("15:04:05")
}

// userWidth is the width of the columns of names: ps cuts what is longer.
const userWidth = 8

func named(f func(int) string, id int) string {
	name := f(id)
	switch {
	case name == "":
		return strconv.Itoa(id)
	case len(name) > userWidth:
		return name[:userWidth-1] + "+"
	}
	return name
}

func tenths(n int) string { return fmt.Sprintf("%d.%d", n/10, n%10) }

func orDash(n int) string {
	if n == 0 {
		return "-"
	}
	return strconv.Itoa(n)
}

// class is the scheduling class, by the numbers of sched(7).
func (p *process) class() string {
	names := []string{"TS", "FF", "RR", "B", "ISO", "IDL", "DLN"}
	if p.policy < 0 || p.policy >= len(names) {
		return "?"
	}
	return names[p.policy]
}

// clock is [DD-]HH:MM:SS; without hours when there are none and they are not asked for.
func clock(d time.Duration, hours bool) string {
	n := int(d / time.Second)
	text := fmt.Sprintf("%02d:%02d", n/60%60, n%60)
	if n >= 3600 || hours {
		text = fmt.Sprintf("%02d:%s", n/3600%24, text)
	}
	if days := n / 86400; days > 0 {
		text = fmt.Sprintf("%02d-%s", days, text)
	}
	return text
}

func minutes(d time.Duration) string {
	n := int(d / time.Second)
	return fmt.Sprintf("%d:%02d", n/60, n%60)
}

// startTime is the time of today, the day of this year, or the year.
func startTime(t, now time.Time) string {
	switch {
	case t.Year() != now.Year():
		return t.Format("2006")
	case t.YearDay() != now.YearDay():
		return t.Format("Jan02")
	}
	return t.Format("15:04")
}

func bsdStart(t, now time.Time) string {
	if now.Sub(t) > 24*time.Hour {
		return t.Format("Jan _2")
	}
	return t.Format("15:04")
}
