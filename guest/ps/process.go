package ps

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// tick is the unit of times in /proc: USER_HZ is 100 on every architecture of Linux.
const tick = time.Second / 100

// process is what /proc tells of one.
type process struct {
	pid                   int
	comm, state           string
	ppid, pgrp, session   int
	ttyNr, tpgid          int
	used                  time.Duration // user and system time
	priority, nice        int
	threads, lastCPU      int
	began                 time.Duration // since boot
	vsize, rss            uint64        // bytes
	flags, rtprio, policy int
	locked                bool // pages are locked in memory
	ruid, euid            int
	rgid, egid            int
	args                  []string
}

// read reads one process. The error is of class ESRCH or fs.ErrNotExist when it has ended.
func (s *System) read(pid int) (*process, error) {
	dir := filepath.Join(s.Proc, strconv.Itoa(pid))
	stat, err := os.ReadFile(filepath.Join(dir, "stat"))
	if err != nil {
		return nil, err
	}
	p := &process{pid: pid}
	if err := p.parseStat(string(stat)); err != nil {
		return nil, err
	}
	status, err := os.ReadFile(filepath.Join(dir, "status"))
	if err != nil {
		return nil, err
	}
	p.parseStatus(string(status))
	cmdline, err := os.ReadFile(filepath.Join(dir, "cmdline"))
	if err != nil {
		return nil, err
	}
	if cmdline = bytes.TrimRight(cmdline, "\x00"); len(cmdline) > 0 {
		p.args = strings.Split(string(cmdline), "\x00")
	}
	return p, nil
}

// parseStat reads proc_pid_stat(5). The name is in parentheses and may hold anything.
func (p *process) parseStat(text string) error {
	open, end := strings.IndexByte(text, '('), strings.LastIndexByte(text, ')')
	if open < 0 || end < open {
		return errors.New("stat: no name")
	}
	p.comm = text[open+1 : end]
	f := strings.Fields(text[end+1:])
	if len(f) < 39 {
		return fmt.Errorf("stat: %d fields", len(f))
	}
	n := func(field int) int { // numbered as in the manual page
		v, _ := strconv.ParseInt(f[field-3], 10, 64)
		return int(v)
	}
	p.state = f[0]
	p.ppid, p.pgrp, p.session, p.ttyNr, p.tpgid, p.flags = n(4), n(5), n(6), n(7), n(8), n(9)
	p.used = time.Duration(n(14)+n(15)) * tick
	p.priority, p.nice, p.threads = n(18), n(19), n(20)
	p.began = time.Duration(n(22)) * tick
	p.vsize = uint64(n(23))
	p.lastCPU, p.rtprio, p.policy = n(39), n(40), n(41)
	return nil
}

func (p *process) parseStatus(text string) {
	for line := range strings.Lines(text) {
		name, value, _ := strings.Cut(line, ":")
		f := strings.Fields(value)
		if len(f) == 0 {
			continue
		}
		switch name {
		case "Uid":
			p.ruid, _ = strconv.Atoi(f[0])
			p.euid, _ = strconv.Atoi(f[1])
		case "Gid":
			p.rgid, _ = strconv.Atoi(f[0])
			p.egid, _ = strconv.Atoi(f[1])
		case "VmLck":
			p.locked = f[0] != "0"
		case "VmRSS": // exact, unlike that of stat
			kib, _ := strconv.ParseUint(f[0], 10, 64)
			p.rss = kib << 10
		}
	}
}

// age is how long it has run.
func (p *process) age(s *System) time.Duration { return max(0, s.Uptime-p.began) }

// start is when it began, to the second.
func (p *process) start(s *System) time.Time { return s.Now.Add(-p.age(s)) }

// perMille is the share of one processor over its whole life.
func (p *process) perMille(s *System) int {
	seconds := int64(p.age(s) / time.Second)
	if seconds == 0 {
		return 0
	}
	return int(int64(p.used/time.Millisecond) / seconds)
}

// tty is the terminal's name as ps shows it.
func (p *process) tty() string {
	major, minor := p.ttyNr>>8&0xfff, p.ttyNr&0xff|p.ttyNr>>12&0xfff00
	switch {
	case p.ttyNr == 0:
		return "?"
	case major >= 136 && major <= 143:
		return "pts/" + strconv.Itoa(minor+(major-136)<<8)
	case major == 4 && minor < 64:
		return "tty" + strconv.Itoa(minor)
	case major == 4:
		return "ttyS" + strconv.Itoa(minor-64)
	case major == 5 && minor == 1:
		return "console"
	}
	return "?"
}

// stat is the state with BSD's letters behind it.
func (p *process) stat() string {
	s := p.state
	if p.nice < 0 {
		s += "<"
	}
	if p.nice > 0 {
		s += "N"
	}
	if p.locked {
		s += "L"
	}
	if p.session == p.pid {
		s += "s"
	}
	if p.threads > 1 {
		s += "l"
	}
	if p.ttyNr != 0 && p.pgrp == p.tpgid {
		s += "+"
	}
	return s
}

// name is the short name of the program.
func (p *process) name() string {
	if p.state == "Z" {
		return p.comm + " <defunct>"
	}
	return p.comm
}

// commandLine is the arguments, or the name in brackets when there are none.
func (p *process) commandLine() string {
	if len(p.args) == 0 {
		if p.state == "Z" {
			return "[" + p.comm + "] <defunct>"
		}
		return "[" + p.comm + "]"
	}
	return strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f {
			return '?'
		}
		return r
	}, strings.Join(p.args, " "))
}
