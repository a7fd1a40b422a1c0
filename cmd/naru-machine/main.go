// Command naru-machine is the host's one daemon: it owns the VM that runs every container. The CLI starts it when it
// is needed; launchd, systemd or a Windows service may as well. See host/machine/daemon.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"path/filepath"
	"runtime"
	"syscall"

	"naru/host/machine"
	"naru/host/machine/daemon"
	"naru/platform"
	"naru/platform/backend"
	"naru/platform/ipc"
	"naru/platform/paths"
)

var version = "dev"

const usage = `Usage: naru-machine run [--home DIR]     boot the machine and serve it until SIGTERM
       naru-machine check [--json]      tell what the hypervisor can do here
       naru-machine version
`

func main() { os.Exit(run(os.Args[1:])) }

func run(args []string) int {
	if len(args) == 0 {
		fmt.Fprint(os.Stderr, usage)
		return 2
	}
	var err error
	switch args[0] {
	case "run":
		err = serve(args[1:])
	case "check":
		err = check(args[1:])
	case "version", "--version":
		fmt.Println("naru-machine", version)
	case "help", "-h", "--help":
		fmt.Print(usage)
	default:
		fmt.Fprintf(os.Stderr, "naru-machine: error: unknown command %q\n%s", args[0], usage)
		return 2
	}
	switch {
	case errors.Is(err, flag.ErrHelp):
		return 2
	case errors.Is(err, ipc.ErrLocked):
		fmt.Fprintln(os.Stderr, "naru-machine: error: another naru-machine runs with this home folder")
		return 1
	case err != nil:
		fmt.Fprintln(os.Stderr, "naru-machine: error:", err)
		return 1
	}
	return 0
}

// serve is `naru-machine run`. Its stdout carries one line, machine.Started, for who started it.
func serve(args []string) error {
	fallback, err := paths.FromEnv()
	if err != nil {
		return err
	}
	flags := flag.NewFlagSet("naru-machine run", flag.ContinueOnError)
	home := flags.String("home", fallback.String(), "installation `folder`")
	debug := flags.Bool("debug", os.Getenv("NARU_DEBUG") != "", "log more")
	if err := flags.Parse(args); err != nil {
		return err
	}
	dir, err := filepath.Abs(*home)
	if err != nil {
		return err
	}
	level := slog.LevelInfo
	if *debug {
		level = slog.LevelDebug
	}
	log := slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: level}))
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	// The CLI that started us may go away; neither its terminal nor its pipe may end us.
	signal.Ignore(syscall.SIGHUP, syscall.SIGPIPE)
	raiseLimits(log)
	tell := tellOnce(os.Stdout)
	image, err := daemon.FindImage()
	if err != nil {
		tell(machine.Started{Error: err.Error()})
		return err
	}
	log.Info("naru-machine", "version", version, "home", dir, "image", filepath.Dir(image.Kernel), "pid", os.Getpid())
	return daemon.Run(ctx, daemon.Options{
		Home: paths.Home(dir), Version: version, Log: log, Image: image, Started: tell,
		Choose: func(ctx context.Context, want, arch string) (platform.Backend, platform.Report, error) {
			return backend.Choose(ctx, want, arch, log)
		},
	})
}

// tellOnce writes the line and closes the pipe.
func tellOnce(w io.WriteCloser) func(machine.Started) {
	return func(s machine.Started) {
		_ = json.NewEncoder(w).Encode(s)
		_ = w.Close()
	}
}

// check is `naru-machine check`.
// check is `naru-machine check`: for people one line a hypervisor, with --json machine.Capabilities.
func check(args []string) error {
	flags := flag.NewFlagSet("naru-machine check", flag.ContinueOnError)
	asJSON := flags.Bool("json", false, "print JSON")
	if err := flags.Parse(args); err != nil {
		return err
	}
	can := machine.Capabilities{Arch: runtime.GOARCH}
	if image, err := daemon.FindImage(); err == nil {
		can.Arch, can.ImageDir = image.Arch, filepath.Dir(image.Kernel)
	} else {
		can.ImageError = err.Error()
	}
	for _, b := range backend.Reports(context.Background(), can.Arch, slog.New(slog.DiscardHandler)) {
		can.Backends = append(can.Backends, machine.BackendReport{
			Name: b.Name, Usable: b.Usable, Reason: b.Reason, Accel: b.Accel, Note: b.Note, ShareType: b.ShareType, ShareNote: b.ShareNote,
		})
	}
	if *asJSON {
		return json.NewEncoder(os.Stdout).Encode(can)
	}
	usable := false
	for _, b := range can.Backends {
		if !b.Usable {
			fmt.Printf("%s: cannot be used: %s\n", b.Name, b.Reason)
			continue
		}
		usable = true
		fmt.Printf("%s: usable, %s\n", b.Name, b.Accel)
		for _, note := range []string{b.Note, b.ShareNote} {
			if note != "" {
				fmt.Println(note)
			}
		}
	}
	if !usable {
		return errors.New("no machine can run here")
	}
	return nil
}
