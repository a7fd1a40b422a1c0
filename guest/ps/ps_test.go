package ps

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

func TestParse(t *testing.T) {
	for args, titles := range map[string]string{
		"":                              "PID TTY TIME CMD",
		"-e":                            "PID TTY TIME CMD",
		"-ef":                           "UID PID PPID C STIME TTY TIME CMD",
		"-F":                            "UID PID PPID C SZ RSS PSR STIME TTY TIME CMD",
		"-ej":                           "PID PGID SID TTY TIME CMD",
		"aux":                           "USER PID %CPU %MEM VSZ RSS TTY STAT START TIME COMMAND",
		"-aux":                          "",
		"ax":                            "PID TTY STAT TIME COMMAND",
		"-eo pid,comm":                  "PID COMMAND",
		"-e -o pid -o comm=NAME":        "PID NAME",
		"-opid=P,args":                  "P COMMAND",
		"o pid,%cpu":                    "PID %CPU",
		"-e --format=pid,etime":         "PID ELAPSED",
		"--format pid --sort=-pid,comm": "PID",
		"-o pid,nope":                   "",
		"-o":                            "",
		"-Q":                            "",
		"zz":                            "",
		"--foo":                         "",
		"-e --sort=nope":                "",
	} {
		f, err := Parse(args)
		if err != nil {
			if titles != "" || !strings.HasPrefix(err.Error(), "error: ") {
				t.Errorf("%q: %v", args, err)
			}
			continue
		}
		var got []string
		for _, c := range f.columns {
			got = append(got, c.title)
		}
		if s := strings.Join(got, " "); s != titles {
			t.Errorf("%q: %q", args, s)
		}
	}
}

// TestLikePs compares with the ps of this machine, where it has procps, what cannot change in between.
func TestLikePs(t *testing.T) {
	if out, err := exec.Command("ps", "-V").CombinedOutput(); err != nil || !strings.Contains(string(out), "procps") {
		t.Skip("needs procps: apt-get install procps")
	}
	if os.Getuid() != 0 {
		t.Skip("needs root: the test knows no other user's name")
	}
	child := exec.Command("cat")
	in, err := child.StdinPipe()
	out, err2 := child.StdoutPipe()
	if err := errors.Join(err, err2, child.Start()); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = child.Process.Kill(); _ = child.Wait() }()
	fmt.Fprintln(in) // once it has answered it only waits
	if _, err := out.Read(make([]byte, 1)); err != nil {
		t.Fatal(err)
	}
	s, err := Host()
	if err != nil {
		t.Fatal(err)
	}
	s.User = func(uid int) string {
		if uid == 0 {
			return "root"
		}
		return ""
	}
	for _, args := range []string{
		"-ef", "aux", "ax", "-e", "-j", "-o pid,ppid,pgid,sid,tty,stat,s,ni,pri,cls,nlwp,uid,ruid,gid,rss,vsz,sz,f,rtprio,comm,args,user,tpgid",
	} {
		f, err := Parse(args)
		if err != nil {
			t.Fatal(err)
		}
		list := []int{1, child.Process.Pid}
		got, err := s.Show(f, list)
		if err != nil {
			t.Fatal(err)
		}
		out, err := exec.Command("ps", append(strings.Fields(args), "-q1,"+strconv.Itoa(child.Process.Pid), "-ww")...).Output()
		if err != nil {
			t.Fatal(err)
		}
		lines := strings.Split(strings.TrimSpace(string(out)), "\n")
		if titles := strings.Fields(lines[0]); !slices.Equal(titles, got.Titles) {
			t.Errorf("%s: titles %q, want %q", args, got.Titles, titles)
		}
		// The child has used no time and is one of two: compare all of its row.
		want := strings.Fields(lines[len(lines)-1])
		if row := strings.Fields(strings.Join(got.Rows[len(got.Rows)-1], " ")); !slices.Equal(row, want) {
			t.Errorf("%s: %q, want %q", args, row, want)
		}
	}
}

func TestTimes(t *testing.T) {
	if s := clock(26*time.Hour+3*time.Minute+4*time.Second, true); s != "01-02:03:04" {
		t.Error(s)
	}
	if s := clock(64*time.Second, false); s != "01:04" {
		t.Error(s)
	}
	now := time.Date(2026, 3, 5, 12, 0, 0, 0, time.UTC)
	for ago, want := range map[time.Duration]string{time.Minute: "11:59", 24 * time.Hour: "Mar04", 300 * 24 * time.Hour: "2025"} {
		if s := startTime(now.Add(-ago), now); s != want {
			t.Errorf("%v ago: %q", ago, s)
		}
	}
}

func TestNames(t *testing.T) {
	p := &process{}
	if err := p.parseStat("7 (a) b) (c) S 1 2 3 34816 5 6 0 0 0 0 1 2 0 0 20 0 1 0 100 4096 1 0 0 0 0 0 0 0 0 0 0 0 0 0 17 3 0 0"); err != nil {
		t.Fatal(err)
	}
	if p.comm != "a) b) (c" || p.state != "S" || p.tty() != "pts/0" || p.lastCPU != 3 || p.used != 30*time.Millisecond {
		t.Errorf("%+v", p)
	}
	if err := p.parseStat("7 x"); err == nil {
		t.Error("stat without a name")
	}
	p = &process{comm: "x", state: "Z"}
	if p.commandLine() != "[x] <defunct>" || p.name() != "x <defunct>" {
		t.Errorf("zombie: %q", p.commandLine())
	}
	if s := named(func(int) string { return "systemd-network" }, 7); s != "systemd+" {
		t.Error(s)
	}
}
