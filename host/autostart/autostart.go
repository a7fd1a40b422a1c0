// Package autostart has the machine start by itself: on Linux systemd holds the engine's socket and starts naru-machine for the
// first who connects, on macOS launchd and on Windows the task scheduler start it at login.
//
// What is written is plain data that any OS can print; Enable and Disable write it and tell the system.
package autostart

import (
	"bytes"
	"encoding/xml"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"

	"naru/platform/paths"
)

// Plan is what it takes on one system.
type Plan struct {
	Files           []File
	Enable, Disable [][]string // commands, once the files are there and before they are removed
}

// File is one to write.
type File struct{ Path, Text string }

// Place says for whom and what.
type Place struct {
	OS     string // as GOOS
	Daemon string // path of naru-machine
	Home   paths.Home
	User   string // the user's home folder
}

// Here is the place of this process.
func Here(home paths.Home, daemon string) (Place, error) {
	user, err := os.UserHomeDir()
	return Place{OS: runtime.GOOS, Daemon: daemon, Home: home, User: user}, err
}

// Make is the plan for a place.
func (p Place) Make() (*Plan, error) {
	name := p.Home.Name()
	switch p.OS {
	case "linux":
		dir := filepath.Join(p.User, ".config/systemd/user")
		return &Plan{
			Files:   []File{{filepath.Join(dir, name+".socket"), p.socketUnit()}, {filepath.Join(dir, name+".service"), p.serviceUnit()}},
			Enable:  [][]string{{"systemctl", "--user", "daemon-reload"}, {"systemctl", "--user", "enable", "--now", name + ".socket"}},
			Disable: [][]string{{"systemctl", "--user", "disable", "--now", name + ".socket"}},
		}, nil
	case "darwin":
		file := filepath.Join(p.User, "Library/LaunchAgents/dev.naru."+name+".plist")
		return &Plan{
			Files:   []File{{file, p.plist()}},
			Enable:  [][]string{{"launchctl", "load", "-w", file}},
			Disable: [][]string{{"launchctl", "unload", "-w", file}},
		}, nil
	case "windows":
		file := filepath.Join(string(p.Home), "machine", "autostart.xml")
		return &Plan{
			Files:   []File{{file, p.task()}},
			Enable:  [][]string{{"schtasks", "/Create", "/F", "/TN", name, "/XML", file}},
			Disable: [][]string{{"schtasks", "/Delete", "/F", "/TN", name}},
		}, nil
	}
	return nil, fmt.Errorf("start at login: not known on %s", p.OS)
}

func (p Place) socketUnit() string {
	return `# Written by naru machine autostart enable.
[Unit]
Description=naru: the engine's socket in the machine

[Socket]
ListenStream=` + unitPath(p.Home.MachineSocket()) + `
SocketMode=0600
DirectoryMode=0700

[Install]
WantedBy=sockets.target
`
}

func (p Place) serviceUnit() string {
	return `# Written by naru machine autostart enable.
[Unit]
Description=naru: the machine
Requires=` + p.Home.Name() + `.socket
After=` + p.Home.Name() + `.socket

[Service]
ExecStart=` + unitWord(p.Daemon) + ` run --home ` + strings.ReplaceAll(unitWord(string(p.Home)), "$", "$$") + `
# It stops the containers in order by itself.
KillMode=mixed
TimeoutStopSec=120
StandardOutput=null
StandardError=append:` + unitPath(p.Home.MachineLog()) + `
`
}

// unitPath is a path as systemd.syntax(7) wants it where specifiers count.
func unitPath(s string) string { return strings.ReplaceAll(s, "%", "%%") }

// unitWord is one word of a command line of a unit. Variables are put into all but the first.
func unitWord(s string) string {
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`, "%", "%%").Replace(s) + `"`
}

func (p Place) plist() string {
	var words strings.Builder
	for _, w := range []string{p.Daemon, "run", "--home", string(p.Home)} {
		words.WriteString("\t\t<string>" + text(w) + "</string>\n")
	}
	return `<?xml version="1.0" encoding="UTF-8"?>
<!DOCTYPE plist PUBLIC "-//Apple//DTD PLIST 1.0//EN" "http://www.apple.com/DTDs/PropertyList-1.0.dtd">
<plist version="1.0">
<dict>
	<key>Label</key>
	<string>dev.naru.` + text(p.Home.Name()) + `</string>
	<key>ProgramArguments</key>
	<array>
` + words.String() + `	</array>
	<key>RunAtLoad</key>
	<true/>
	<key>ProcessType</key>
	<string>Interactive</string>
	<key>StandardOutPath</key>
	<string>/dev/null</string>
	<key>StandardErrorPath</key>
	<string>` + text(p.Home.MachineLog()) + `</string>
</dict>
</plist>
`
}

func (p Place) task() string {
	return `<?xml version="1.0" encoding="UTF-8"?>
<Task version="1.2" xmlns="http://schemas.microsoft.com/windows/2004/02/mit/task">
  <RegistrationInfo>
    <Description>naru: the machine</Description>
  </RegistrationInfo>
  <Triggers>
    <LogonTrigger>
      <Enabled>true</Enabled>
    </LogonTrigger>
  </Triggers>
  <Settings>
    <MultipleInstancesPolicy>IgnoreNew</MultipleInstancesPolicy>
    <DisallowStartIfOnBatteries>false</DisallowStartIfOnBatteries>
    <StopIfGoingOnBatteries>false</StopIfGoingOnBatteries>
    <ExecutionTimeLimit>PT0S</ExecutionTimeLimit>
  </Settings>
  <Actions>
    <Exec>
      <Command>` + text(p.Daemon) + `</Command>
      <Arguments>run --home "` + text(string(p.Home)) + `"</Arguments>
    </Exec>
  </Actions>
</Task>
`
}

// text is a string in XML.
func text(s string) string {
	var b bytes.Buffer
	_ = xml.EscapeText(&b, []byte(s)) // a buffer takes everything
	return b.String()
}

// On writes the files and runs the commands. When one fails, the files are removed again.
func (p *Plan) On() error {
	for _, f := range p.Files {
		if err := os.MkdirAll(filepath.Dir(f.Path), 0o700); err != nil {
			return err
		}
		if err := os.WriteFile(f.Path, []byte(f.Text), 0o600); err != nil {
			return err
		}
	}
	if err := run(p.Enable); err != nil {
		return errors.Join(err, p.remove())
	}
	return nil
}

// Off undoes On. What is not there is no error.
func (p *Plan) Off() error {
	if !p.Written() {
		return nil
	}
	return errors.Join(run(p.Disable), p.remove())
}

// Written tells whether the files are there.
func (p *Plan) Written() bool {
	for _, f := range p.Files {
		if _, err := os.Stat(f.Path); err != nil {
			return false
		}
	}
	return true
}

func (p *Plan) remove() error {
	var errs []error
	for _, f := range p.Files {
		if err := os.Remove(f.Path); err != nil && !errors.Is(err, fs.ErrNotExist) {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

func run(commands [][]string) error {
	for _, c := range commands {
		if out, err := exec.Command(c[0], c[1:]...).CombinedOutput(); err != nil {
			return fmt.Errorf("%s: %w: %s", strings.Join(c, " "), err, strings.TrimSpace(string(out)))
		}
	}
	return nil
}
