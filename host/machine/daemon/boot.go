package daemon

import (
	"bufio"
	"context"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"path/filepath"
	"sync"
	"time"

	"naru/guest/api"
	"naru/host/machine"
	"naru/host/network"
	"naru/platform"
	"naru/platform/ipc"
)

// silence is how long a booting guest may say nothing: one step of an emulated machine on a busy host is slow, a
// guest that hangs stays so.
const silence = 3 * time.Minute

// run is one run of the VM and what serves it.
type run struct {
	d       *Daemon
	vm      platform.VM
	ended   chan struct{}   // closed when the VM has ended
	err     error           // how, once ended is closed
	ctx     context.Context // ends when run.end is called
	cancel  context.CancelFunc
	work    sync.WaitGroup
	notices chan api.Notice // closed at the end of the notify port
}

// bootVM starts the VM and waits until its engine answers.
func (d *Daemon) bootVM(ctx context.Context) (*run, error) {
	d.state.set(machine.StateBooting, "look at the host", nil)
	img := d.o.Image
	backend, report, err := d.o.Choose(ctx, d.settings.Backend, img.Arch)
	if err != nil {
		return nil, err
	}
	d.log.Info("backend", "name", backend.Name(), "accel", report.Accel, "note", report.Note)
	shares := d.planShares(report)
	d.token = newToken()
	d.mu.Lock()
	d.name, d.report, d.shares = backend.Name(), report, shares
	d.mu.Unlock()

	d.state.set(machine.StateBooting, "prepare the disks", nil)
	if err := makeDataDisk(d.o.Home.MachineData(), d.settings.EffectiveDisk()); err != nil {
		return nil, fmt.Errorf("make the data disk: %w", err)
	}
	if err := writeConfigDrive(d.o.Home.MachineConfig(), d.config(shares)); err != nil {
		return nil, fmt.Errorf("make the config drive: %w", err)
	}
	wire, err := ipc.Listen(filepath.Join(d.o.Home.MachineRun(), wireSocket))
	if err != nil {
		return nil, err
	}
	defer wire.Close()

	d.state.set(machine.StateBooting, "start "+backend.Name()+" ("+report.Accel+")", nil)
	vm, err := backend.Start(ctx, d.describeVM(img, shares))
	if err != nil {
		return nil, err
	}
	r := d.newRun(vm)
	if err := r.connectWire(ctx, wire); err != nil {
		r.end()
		return nil, err
	}
	if err := r.awaitReady(ctx); err != nil {
		r.end()
		return nil, err
	}
	return r, nil
}

// memory is what the VM may use, in bytes.
func (d *Daemon) memory() uint64 {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.settings.EffectiveMemory(d.report.Accel == "tcg")
}

const wireSocket = "net.sock"

// describeVM is the VM as data.
func (d *Daemon) describeVM(img *Image, shares []share) *platform.Machine {
	home := d.o.Home
	m := &platform.Machine{
		Name: home.Name(), Arch: img.Arch,
		CPUs: d.settings.EffectiveCPUs(), Memory: d.memory(),
		Kernel: img.Kernel, Initrd: img.Initrd, Cmdline: kernelWords,
		Disks: []platform.Disk{
			{Path: img.Root, Serial: api.DiskRoot, ReadOnly: true},
			{Path: home.MachineData(), Serial: api.DiskData},
			{Path: home.MachineConfig(), Serial: api.DiskConfig, ReadOnly: true},
		},
		NIC:     &platform.NIC{MAC: network.GuestMAC, MTU: network.MTU, Socket: filepath.Join(home.MachineRun(), wireSocket)},
		Console: home.MachineConsole(), Notify: api.NotifyPort, Run: home.MachineRun(),
		Identity: home.MachineIdentity(),
	}
	for _, s := range shares {
		m.Shares = append(m.Shares, s.host)
	}
	return m
}

// kernelWords are what the guest's kernel is told whatever the backend: no self-tests of ciphers (0.2 s), and trust
// in the processor's random numbers, without which a first boot waits for entropy.
const kernelWords = "quiet cryptomgr.notests random.trust_cpu=on naru.vm=1"

func newToken() string {
	var b [32]byte
	_, _ = rand.Read(b[:]) // never fails
	return hex.EncodeToString(b[:])
}

// newRun begins to listen to a VM that has started.
func (d *Daemon) newRun(vm platform.VM) *run {
	ctx, cancel := context.WithCancel(context.Background())
	r := &run{d: d, vm: vm, ended: make(chan struct{}), ctx: ctx, cancel: cancel, notices: make(chan api.Notice, 64)}
	d.mu.Lock()
	d.vm = vm
	d.mu.Unlock()
	r.work.Go(func() {
		r.err = vm.Wait()
		close(r.ended)
	})
	r.work.Go(r.readNotices)
	return r
}

// readNotices reads the notify port to its end.
func (r *run) readNotices() {
	defer close(r.notices)
	in := r.vm.Notify()
	lines := bufio.NewScanner(in)
	for lines.Scan() {
		var n api.Notice
		if err := json.Unmarshal(lines.Bytes(), &n); err != nil {
			r.d.log.Warn("a notice of the guest", "error", err)
			continue
		}
		r.d.log.Info("guest", "notice", n.Kind, "step", n.Step, "detail", n.Detail, "after", time.Since(r.d.started).Round(time.Millisecond))
		select {
		case r.notices <- n:
		case <-r.ctx.Done():
			_, _ = io.Copy(io.Discard, in)
			return
		}
	}
}

// connectWire joins the guest's network card to the network.
func (r *run) connectWire(ctx context.Context, wire net.Listener) error {
	defer context.AfterFunc(ctx, func() { _ = wire.Close() })()
	stop := make(chan struct{})
	defer close(stop)
	r.work.Go(func() {
		select {
		case <-r.ended:
			_ = wire.Close()
		case <-stop:
		}
	})
	conn, err := wire.Accept()
	if err != nil {
		return fmt.Errorf("join the machine's network: %w", errors.Join(context.Cause(ctx), err))
	}
	r.work.Go(func() {
		if err := r.d.network.Serve(r.ctx, conn); err != nil && r.ctx.Err() == nil {
			r.d.log.Error("the machine's network", "error", err)
		}
	})
	return nil
}

// awaitReady follows the boot by the guest's notices.
func (r *run) awaitReady(ctx context.Context) error {
	timer := time.NewTimer(silence)
	defer timer.Stop()
	step := "the kernel"
	for {
		select {
		case n, ok := <-r.notices:
			if !ok {
				<-r.ended
				return r.diedIn(step)
			}
			switch n.Kind {
			case api.NoticeReady:
				r.d.mu.Lock()
				r.d.boot = time.Since(r.d.bootBegan)
				r.d.mu.Unlock()
				return nil
			case api.NoticeFailed:
				return fmt.Errorf("boot: %s: %s", n.Step, n.Detail)
			case api.NoticeStep:
				step = n.Step
				r.d.state.set(machine.StateBooting, n.Step, nil)
			}
			timer.Reset(silence)
		case <-timer.C:
			return r.d.describe("boot: "+step, fmt.Errorf("nothing happened for %v", silence))
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

func (r *run) diedIn(step string) error {
	err := r.err
	if err == nil {
		err = errors.New("the guest powered off")
	}
	return r.d.describe("boot: "+step, err)
}

// unexpected is the error of a VM that ended without being asked to.
func (r *run) unexpected() error {
	if r.err == nil {
		r.d.log.Info("the guest powered itself off")
		return nil // somebody said poweroff in it
	}
	return r.d.describe("the machine ended", r.err)
}

// end kills the VM if it still runs and waits for everything that served it.
func (r *run) end() {
	r.vm.Kill()
	r.cancel()
	r.work.Wait()
	r.d.mu.Lock()
	r.d.vm = nil
	r.d.mu.Unlock()
}
