package main

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"time"

	"naru/platform"
	"naru/platform/backend"
)

// floorVM is the least that a VM with naru's kernel takes: the same backend and kernel with nothing but an init that
// powers off (vmimage/floor).
type floorVM struct {
	root, dir string
	initrd    string
	count     int
}

func newFloorVM(root, dir string) (*floorVM, error) {
	f := &floorVM{root: root, dir: filepath.Join(dir, "f")}
	f.initrd = filepath.Join(f.dir, "initrd.img")
	if err := os.MkdirAll(f.dir, 0o755); err != nil {
		return nil, err
	}
	build := exec.Command("go", "build", "-trimpath", "-ldflags", "-s -w", "-o", filepath.Join(f.dir, "init"), "./vmimage/floor")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if _, err := timed(build); err != nil {
		return nil, err
	}
	pack := exec.Command("sh", "-c", "echo init | cpio -o -H newc -R 0:0 --quiet >initrd.img")
	pack.Dir = f.dir
	_, err := timed(pack)
	return f, err
}

// boot runs the floor VM from start to power-off.
func (f *floorVM) boot() (time.Duration, error) {
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	b, _, err := backend.Choose(ctx, "", runtime.GOARCH, slog.New(slog.DiscardHandler))
	if err != nil {
		return 0, err
	}
	f.count++
	run := filepath.Join(f.dir, fmt.Sprint(f.count))
	if err := os.MkdirAll(run, 0o700); err != nil {
		return 0, err
	}
	start := time.Now()
	vm, err := b.Start(ctx, &platform.Machine{
		Name: "naru-floor", Arch: runtime.GOARCH, CPUs: 2, Memory: 2 << 30,
		Kernel: filepath.Join(f.root, "out/image", runtime.GOARCH, "vmlinuz"), Initrd: f.initrd,
		Cmdline: "quiet cryptomgr.notests random.trust_cpu=on", Console: filepath.Join(run, "console"), Notify: "floor", Run: run,
	})
	if err != nil {
		return 0, err
	}
	defer context.AfterFunc(ctx, vm.Kill)()
	if err := vm.Wait(); err != nil {
		return 0, err
	}
	return time.Since(start), ctx.Err()
}
