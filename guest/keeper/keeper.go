// Package keeper is naru-keeper: the parent of all containers. It starts them through the OCI runtime, owns their
// pipes and terminals, writes their logs, records how they ended, and runs the engine and runs it again when it dies.
// All that the engine knows can be learnt again from here and from its journal, so that it may die at any time.
//
// A kept process goes through these states:
//
//	starting ──runtime failed──▶ (nothing)
//	   │ runtime ended with 0, pid file read
//	running ──wait4──▶ ended ──outputs at their end, or a grace──▶ recorded ──forget──▶ (nothing)
//
// A recorded exit of a durable process is on disk before anybody hears of it.
//
// Nothing in this process may use os/exec or os.Process.Wait: one reaper waits for every child (see reaper), because
// containers become children of the keeper by being orphaned, not by being started by it.
package keeper

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"naru/guest/api"
)

// Options say what a keeper keeps.
type Options struct {
	Root   string // the engine's folder; made when missing
	Name   string // see "Name" in the design: the cgroup of all containers is /<Name>
	Socket string // the API's socket, made by the keeper and handed to the engine as `docker`
	Mode   string // api.ModeDirect or api.ModeMachine

	Engine string // path of naru-engine
	Crun   string // path of crun, passed on to the engine
	// Config is the config drive's document. Set in the VM only: the engine gets it as a file, and the keeper listens
	// on AF_VSOCK for both of them.
	Config *api.Config
	// Listeners are further listening sockets for the engine, already open. The keeper closes its copies at the end.
	Listeners []Listener
	// Mounts makes the keeper mount the run tmpfs and hide a hybrid cgroup tree. False only where that was done
	// before, or in tests.
	Mounts bool

	Notify      func(api.Notice) // hears NoticeReady when the engine answers for the first time; nil for nobody
	StopTimeout time.Duration    // how long the engine may take to stop; 0 for 30 s
	Stderr      io.Writer        // a copy of the log, such as the console; nil for none

	agent net.Listener // tests: takes the place of AF_VSOCK, and trusts every peer
}

// Listener is a listening socket by the name that LISTEN_FDNAMES carries.
type Listener struct {
	Name string
	File *os.File
}

// Names of the listeners that the engine is given.
const (
	ListenerDocker = "docker" // Options.Socket
	ListenerAgent  = "agent"  // AF_VSOCK, api.PortEngine
)

// keeper is the whole of it.
type keeper struct {
	o      Options
	log    *slog.Logger
	reaper *reaper
	table  *table
	engine *engine
	order  order
	stop   context.CancelFunc // begins the end, as SIGTERM does
	ending chan struct{}      // closed when nothing more may be started
}

func (o *Options) run() string         { return filepath.Join(o.Root, "run") }
func (o *Options) api() string         { return filepath.Join(o.run(), "keeper.sock") }
func (o *Options) stop() time.Duration { return orDefault(o.StopTimeout, 30*time.Second) }

func orDefault(d, otherwise time.Duration) time.Duration {
	if d == 0 {
		return otherwise
	}
	return d
}

// Run keeps until ctx ends or the host asks for a power-off. Then it ends the engine, which stops the containers, kills
// what is left of them, and returns. The process must have a mount namespace of its own when o.Mounts is set; see
// PrivateMounts.
func Run(ctx context.Context, o Options) error {
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	if err := check(&o); err != nil {
		return err
	}
	lock, err := takeLock(filepath.Join(o.Root, "keeper.lock"))
	if err != nil {
		return err
	}
	defer lock.Close()
	sink, err := openSink(filepath.Join(o.Root, "keeper.log"), o.Stderr)
	if err != nil {
		return err
	}
	defer sink.Close()
	k := &keeper{o: o, log: slog.New(slog.NewTextHandler(sink, nil)), stop: stop, ending: make(chan struct{})}
	if err := k.prepare(); err != nil {
		return err
	}
	return k.keep(ctx, sink)
}

// check refuses what cannot work, in words that help.
func check(o *Options) error {
	var err error
	for _, path := range []*string{&o.Root, &o.Socket, &o.Engine, &o.Crun} {
		if *path, err = filepath.Abs(*path); err != nil {
			return fmt.Errorf("absolute path of %s: %w", *path, err)
		}
	}
	if len(o.Name) == 0 || len(o.Name) > 13 {
		return fmt.Errorf("name %q: must have 1 to 13 characters", o.Name)
	}
	for _, socket := range []string{o.Socket, o.api()} {
		if err := checkSocketPath(socket); err != nil {
			return err
		}
	}
	if err := os.MkdirAll(o.run(), 0o711); err != nil {
		return fmt.Errorf("root folder: %w", err)
	}
	return nil
}

// prepare makes this process fit to keep: limits, leftovers of a former keeper, mounts, reaper, record. Whoever started
// it, its children get the usual umask, and no folder is held busy.
func (k *keeper) prepare() error {
	unix.Umask(0o022)
	if err := os.Chdir("/"); err != nil {
		return err
	}
	raiseFileLimit(k.log)
	if err := clearCgroups(k.o.Name, k.log); err != nil {
		k.log.Warn("processes of a former keeper", "error", err)
	}
	if k.o.Mounts {
		if err := mountAll(k.o.run()); err != nil {
			return err
		}
		var err error
		if k.o.Crun, err = shieldRuntime(k.o.run(), k.o.Crun); err != nil {
			k.log.Warn("crun is not on a read-only mount", "error", err)
		}
	}
	var err error
	if k.reaper, err = startReaper(); err != nil {
		return err
	}
	journal, exits, err := openJournal(filepath.Join(k.o.Root, "exits"), k.log)
	if err != nil {
		return err
	}
	k.table = newTable(journal, exits)
	return nil
}

// keep opens the sockets and runs the engine until the end.
func (k *keeper) keep(ctx context.Context, sink *sink) (err error) {
	defer k.reaper.stop()
	defer k.table.journal.close()
	docker, err := listenUnix(k.o.Socket, 0o660)
	if err != nil {
		return err
	}
	defer os.Remove(k.o.Socket)
	own, err := listenUnix(k.o.api(), 0o600)
	if err != nil {
		return errors.Join(err, docker.Close())
	}
	file, err := docker.File()
	if err = errors.Join(err, docker.Close()); err != nil {
		return fmt.Errorf("listen on %s: %w", k.o.Socket, err)
	}
	listeners := append([]Listener{{ListenerDocker, file}}, k.o.Listeners...)
	defer func() {
		for _, l := range listeners {
			_ = l.File.Close()
		}
	}()

	var serving sync.WaitGroup
	silence := sync.OnceFunc(func() {
		close(k.ending)
		_ = own.Close()
		serving.Wait()
	})
	defer silence()
	serving.Go(func() { k.serve(own) })
	if k.o.Config != nil {
		agent, err := k.listenAgent(&listeners)
		if err != nil {
			return err
		}
		defer context.AfterFunc(ctx, func() { agent.Close() })()
		serving.Go(func() { k.serveAgent(ctx, agent) })
		serving.Go(func() { k.keepTrimmed(ctx) })
	}
	// listeners[0] is the API's socket.
	k.engine = newEngine(k, listeners, sink)
	serving.Go(func() { k.announce(ctx) })
	k.log.Info("keeping", "root", k.o.Root, "name", k.o.Name, "pid", os.Getpid())
	k.engine.run(ctx)
	silence()
	return k.end()
}

// end kills what the engine left behind. The engine has ended, and nobody can start anything any more.
func (k *keeper) end() error {
	k.log.Info("ending")
	k.table.killAll(2 * outputGrace)
	if err := clearCgroups(k.o.Name, k.log); err != nil {
		return fmt.Errorf("end the containers: %w", err)
	}
	return nil
}

// announce waits for the engine's first answer and tells the host. It needs no polling: the socket is ours, so a
// connection waits in its queue until an engine takes it.
func (k *keeper) announce(ctx context.Context) {
	for ctx.Err() == nil {
		err := ping(ctx, k.o.Socket)
		if err == nil {
			k.log.Info("engine answers")
			if k.o.Notify != nil {
				k.o.Notify(api.Notice{Kind: api.NoticeReady})
			}
			return
		}
		select { // that engine died before it answered: let the next one come up
		case <-ctx.Done():
		case <-time.After(50 * time.Millisecond):
		}
	}
}

// ping asks GET /_ping and returns nil when the answer is a 200. It speaks the few bytes of HTTP itself: net/http would
// be a third of this program.
func ping(ctx context.Context, socket string) error {
	var d net.Dialer
	conn, err := d.DialContext(ctx, "unix", socket)
	if err != nil {
		return err
	}
	defer conn.Close()
	defer context.AfterFunc(ctx, func() { conn.Close() })()
	if _, err := io.WriteString(conn, "GET /_ping HTTP/1.1\r\nHost: naru\r\nConnection: close\r\n\r\n"); err != nil {
		return err
	}
	var head [len("HTTP/1.1 200")]byte
	if _, err := io.ReadFull(conn, head[:]); err != nil {
		return err
	}
	if got := string(head[len("HTTP/1.1 "):]); got != "200" {
		return fmt.Errorf("ping: status %s", got)
	}
	return nil
}
