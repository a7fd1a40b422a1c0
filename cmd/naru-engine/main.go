// Command naru-engine holds images, containers, networks and volumes, and serves the Docker Engine API on the
// sockets that naru-keeper hands to it. It can be killed at any time: the keeper starts it again, and containers go on.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"os"
	"os/signal"
	"path/filepath"
	"time"

	"golang.org/x/sync/errgroup"
	"golang.org/x/sys/unix"

	"naru/guest/api"
	"naru/guest/engine"
	"naru/guest/engine/container"
	"naru/guest/engine/image"
	"naru/guest/server"
	"naru/guest/shares"
)

// version is set by the build.
var version = "dev"

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "naru-engine: error:", err)
		os.Exit(1)
	}
}

// shutdownTimeout bounds the end after SIGTERM: containers get 15 s, the rest is tidying up.
const shutdownTimeout = 25 * time.Second

func run(args []string) error {
	o, token, err := options(args)
	if err != nil {
		return err
	}
	listeners, err := inherited()
	if err != nil {
		return err
	}
	if listeners[nameDocker] == nil && listeners[nameAgent] == nil {
		return errors.New("no listening socket was inherited (LISTEN_FDS): naru-keeper starts this program")
	}
	if ln := listeners[nameDocker]; ln != nil {
		o.Socket = ln.Addr().String()
	}
	asked, stop := signal.NotifyContext(context.Background(), unix.SIGTERM, unix.SIGINT)
	defer stop()
	e, err := engine.Open(asked, o)
	if err != nil {
		return err
	}
	return serve(asked, e, token, listeners)
}

// serve runs until asked is done, and then takes the engine apart.
func serve(asked context.Context, e *engine.Engine, token string, listeners map[string]net.Listener) error {
	s := server.New(e, e.Log)
	live, end := context.WithCancel(context.Background())
	defer end()
	g, live := errgroup.WithContext(live)
	g.Go(func() error { return ended(live, e.Watch(live)) })
	if ln := listeners[nameDocker]; ln != nil {
		g.Go(func() error { return s.Serve(ln) })
	}
	if ln := listeners[nameAgent]; ln != nil {
		a := &server.Agent{Token: token, Published: e.Networks.Published, Dialed: e.Networks.Dialed, HTTP: s, Log: e.Log,
			Watch: func(ctx context.Context, conn net.Conn) error { return shares.Watch(ctx, e.Log, conn) }}
		g.Go(func() error { return ended(live, a.Serve(live, ln)) })
	}
	e.Log.Info("engine serves", "version", e.Version, "mode", e.Mode, "opened", time.Since(e.Started).Round(time.Millisecond))
	select {
	case <-asked.Done():
	case <-live.Done(): // a part has failed: the keeper starts a new engine, containers go on
		return g.Wait()
	}
	ctx, cancel := context.WithTimeout(context.Background(), shutdownTimeout)
	defer cancel()
	err := e.Stop(ctx)
	closing, cancelClosing := context.WithTimeout(ctx, time.Second)
	defer cancelClosing()
	if closeErr := s.Close(closing); closeErr != nil && !errors.Is(closeErr, context.DeadlineExceeded) {
		err = errors.Join(err, closeErr)
	}
	end()
	err = errors.Join(err, g.Wait(), e.Close(ctx))
	if err != nil {
		e.Log.Error("shutdown", "error", err)
	}
	return nil // whatever could not be tidied up: the keeper must not start us again
}

// ended makes no error of an end that was asked for.
func ended(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return nil
	}
	return err
}

func options(args []string) (o engine.Options, token string, err error) {
	flags := flag.NewFlagSet("naru-engine", flag.ExitOnError)
	flags.StringVar(&o.Root, "root", "/var/lib/naru/engine", "`folder` of the data")
	flags.StringVar(&o.Run, "run", "", "tmpfs `folder` that lives as long as the keeper (default ROOT/run)")
	flags.StringVar(&o.Name, "name", "naru0", "`name` of bridge, nftables table and cgroup, at most 13 characters")
	flags.StringVar(&o.Keeper, "keeper", "", "`path` of naru-keeper's socket (default RUN/keeper.sock)")
	flags.StringVar(&o.Mode, "mode", api.ModeDirect, api.ModeDirect+" or "+api.ModeMachine)
	flags.StringVar(&o.Crun, "crun", "crun", "`path` of crun")
	config := flags.String("config", "", "`path` of the machine's config document")
	debug := flags.Bool("debug", false, "log each failed request")
	show := flags.Bool("version", false, "print the version")
	_ = flags.Parse(args) // ends the program itself
	if *show {
		fmt.Println("naru-engine", version)
		os.Exit(0)
	}
	level := slog.LevelInfo
	if *debug {
		level = slog.LevelDebug
	}
	o.Log = slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: level}))
	o.Version, o.InitPath = version, initProgram()
	if o.Run == "" {
		o.Run = filepath.Join(o.Root, "run")
	}
	if o.Keeper == "" {
		o.Keeper = filepath.Join(o.Run, "keeper.sock")
	}
	switch {
	case flags.NArg() > 0:
		return o, "", fmt.Errorf("unexpected argument %q", flags.Arg(0))
	case !filepath.IsAbs(o.Root) || !filepath.IsAbs(o.Run):
		return o, "", errors.New("--root and --run must be absolute paths")
	case len(o.Name) == 0 || len(o.Name) > 13:
		return o, "", fmt.Errorf("--name %q: must have 1 to 13 characters", o.Name)
	case o.Mode != api.ModeDirect && o.Mode != api.ModeMachine:
		return o, "", fmt.Errorf("--mode %q: must be %s or %s", o.Mode, api.ModeDirect, api.ModeMachine)
	}
	token, err = settings(&o, *config)
	return o, token, err
}

// settings fills in what the user has set: in the machine's config document, or without one in the engine's root.
func settings(o *engine.Options, config string) (token string, err error) {
	var s api.EngineSettings
	if config != "" {
		doc, err := readConfig(config)
		if err != nil {
			return "", err
		}
		o.Shares, o.HostSocket, o.HostSockets, token, s = doc.Shares, doc.Socket, doc.Sockets, doc.Token, doc.Engine
	} else if s, err = engine.LoadSettings(o.Root, o.Run); err != nil {
		return "", err
	}
	if o.LogConfig, err = container.DefaultLog(s.LogDriver, s.LogOpts); err != nil {
		return "", err
	}
	if o.Remap, err = engine.ParseRemap(s.UsernsRemap); err != nil {
		return "", err
	}
	o.Registries = image.Registries{Mirrors: s.RegistryMirrors, Insecure: s.InsecureRegistries, CertsDir: filepath.Join(o.Root, "certs.d")}
	if err := o.Registries.Check(); err != nil {
		return "", fmt.Errorf("setting registry-mirrors or insecure-registries: %w", err)
	}
	if config != "" { // the document lasts as long as the machine
		return token, nil
	}
	return "", engine.KeepSettings(o.Run, s)
}

func readConfig(path string) (*api.Config, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("read config: %w", err)
	}
	doc := &api.Config{}
	if err := json.Unmarshal(data, doc); err != nil {
		return nil, fmt.Errorf("read config %s: %w", path, err)
	}
	if doc.Version != api.Version {
		return nil, fmt.Errorf("config %s has version %d, this engine wants %d", path, doc.Version, api.Version)
	}
	return doc, nil
}

// initProgram is the program for --init, which lies beside this one; "" when there is none.
func initProgram() string {
	exe, err := os.Executable()
	if err != nil {
		return ""
	}
	path := filepath.Join(filepath.Dir(exe), "naru-init")
	if info, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) || err == nil && info.Mode()&0o111 == 0 {
		return ""
	}
	return path
}
