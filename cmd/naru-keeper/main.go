// Command naru-keeper is the parent of all containers. On Linux the CLI or a service unit starts it; in the VM it is
// PID 1. See guest/keeper for what it does and docs/design.md for how it meets the other parts.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"

	"golang.org/x/sys/unix"

	"naru/guest/api"
	"naru/guest/keeper"
)

// version is set by the build.
var version = "dev"

func main() {
	if os.Getpid() == 1 {
		bootAndKeep() // does not return
	}
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "naru-keeper: error:", err)
		os.Exit(1)
	}
}

// run is the keeper on a Linux of the user's own.
func run(args []string) error {
	flags := flag.NewFlagSet("naru-keeper", flag.ExitOnError)
	o := keeper.Options{Mode: api.ModeDirect}
	dir, err := ownDir()
	if err != nil {
		return err
	}
	flags.StringVar(&o.Root, "root", "", "the engine's `folder`")
	flags.StringVar(&o.Name, "name", "naru0", "`name` of everything made outside the folder, at most 13 characters")
	flags.StringVar(&o.Socket, "socket", "", "`path` of the Docker API's socket")
	flags.StringVar(&o.Engine, "engine", filepath.Join(dir, "naru-engine"), "`path` of naru-engine")
	flags.StringVar(&o.Crun, "crun", keeper.DefaultCrun(dir), "`path` of crun")
	mounts := flags.String("mount-namespace", "private", "private, or host to mount in the one it is started in")
	show := flags.Bool("version", false, "print the version")
	_ = flags.Parse(args) // ends the program itself
	switch {
	case *show:
		fmt.Println("naru-keeper", version)
		return nil
	case flags.NArg() > 0:
		return fmt.Errorf("unexpected argument %q", flags.Arg(0))
	case o.Root == "" || o.Socket == "":
		return fmt.Errorf("--root and --socket are needed")
	case *mounts != "private" && *mounts != "host":
		return fmt.Errorf("--mount-namespace %q: must be private or host", *mounts)
	}
	if *mounts == "private" {
		if err := keeper.PrivateMounts(); err != nil {
			return err
		}
	}
	o.Mounts = true
	ctx, stop := signal.NotifyContext(context.Background(), unix.SIGTERM, unix.SIGINT)
	defer stop()
	return keeper.Run(ctx, o)
}

func ownDir() (string, error) {
	exe, err := os.Executable()
	if err != nil {
		return "", fmt.Errorf("find myself: %w", err)
	}
	return filepath.Dir(exe), nil
}
