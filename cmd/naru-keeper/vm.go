package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"

	"golang.org/x/sys/unix"

	"naru/guest/api"
	"naru/guest/boot"
	"naru/guest/keeper"
)

// bootAndKeep is the keeper as PID 1 of the VM: it ends by powering off, whatever happens. Before the real root it is
// in the initramfs, where boot.Boot does not return either.
func bootAndKeep() {
	notifier := &keeper.Notifier{}
	system, err := boot.Boot(notifier.Notify)
	if err == nil {
		err = keepInVM(system, notifier)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "naru-keeper: error:", err)
		notifier.Notify(api.Notice{Kind: api.NoticeFailed, Step: "keeper", Detail: err.Error()})
	}
	system.Poweroff() // needs nothing of its receiver
}

func keepInVM(system *boot.System, notifier *keeper.Notifier) error {
	dir, err := ownDir()
	if err != nil {
		return err
	}
	ctx, stop := signal.NotifyContext(context.Background(), unix.SIGTERM, unix.SIGINT)
	defer stop()
	return keeper.Run(ctx, keeper.Options{
		Root: system.Root, Name: "naru0", Socket: "/run/docker.sock", Mode: api.ModeMachine,
		Engine: dir + "/naru-engine", Crun: keeper.DefaultCrun(dir), Config: system.Config, Mounts: true,
		Notify: notifier.Notify, Stderr: os.Stderr,
	})
}
