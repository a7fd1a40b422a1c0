package server

import (
	"context"
	"io"
	"strings"

	cerrdefs "github.com/containerd/errdefs"
	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/client"
)

// testClients is what the docker CLI was seen to stumble over.
func testClients(d *daemon) {
	ctx := d.t.Context()
	probe := &container.Config{Image: "probe", Cmd: []string{"exit", "0"}}
	for what, hc := range map[string]*container.HostConfig{
		"network's container": {NetworkMode: "container:nosuch"},
		"volumes' container":  {VolumesFrom: []string{"nosuch"}},
	} {
		// The CLI pulls the image when the answer is 404.
		if _, err := d.ContainerCreate(ctx, client.ContainerCreateOptions{Config: probe, HostConfig: hc}); err == nil || cerrdefs.IsNotFound(err) {
			d.t.Errorf("create without its %s: %v", what, err)
		}
	}
	// `docker inspect host/image` asks for a container, a network and a volume of that name before.
	_, noContainer := d.ContainerInspect(ctx, "host:5000/image", client.ContainerInspectOptions{})
	_, noNetwork := d.NetworkInspect(ctx, "host:5000/image", client.NetworkInspectOptions{})
	_, noVolume := d.VolumeInspect(ctx, "host:5000/image", client.VolumeInspectOptions{})
	for _, err := range []error{noContainer, noNetwork, noVolume} {
		if !cerrdefs.IsNotFound(err) {
			d.t.Errorf("inspect of an image's name: %v", err)
		}
	}
	for range 10 {
		id := d.up("", &container.HostConfig{AutoRemove: true}, "wait")
		if _, err := d.ContainerRemove(ctx, id, client.ContainerRemoveOptions{Force: true}); err != nil {
			d.t.Errorf("rm -f of a container that its end removes, too: %v", err)
		}
	}
	id := d.create("", nil, container.Config{Cmd: []string{"exit", "two words"}})
	list, err := d.ContainerList(ctx, client.ContainerListOptions{All: true, Filters: client.Filters{}.Add("id", id)})
	must(d.t, err)
	if got := list.Items[0].Command; !strings.HasSuffix(got, " exit 'two words'") {
		d.t.Errorf("command: %s", got)
	}
	soon, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	// since=0 is the epoch, and not the same as no since.
	events := d.Events(soon, client.EventsListOptions{Since: "0", Filters: client.Filters{}.Add("container", id)})
	select {
	case <-events.Messages:
	case err := <-events.Err:
		d.t.Errorf("events since 0: %v", err)
	}
	past := d.Events(soon, client.EventsListOptions{Until: "0"})
	if err := <-past.Err; err != io.EOF {
		d.t.Errorf("events until 0 ended with %v", err)
	}
}

// testExecTerminal: docker exec -it before 23 sends the terminal's size beside the start, and it may arrive first.
func testExecTerminal(d *daemon) {
	ctx := d.t.Context()
	id := d.up("", nil, "wait")
	x, err := d.ExecCreate(ctx, id, client.ExecCreateOptions{Cmd: []string{"/probe", "wait"}, TTY: true})
	must(d.t, err)
	resized := make(chan error, 1)
	go func() {
		_, err := d.ExecResize(ctx, x.ID, client.ExecResizeOptions{Height: 20, Width: 70})
		resized <- err
	}()
	_, err = d.ExecStart(ctx, x.ID, client.ExecStartOptions{Detach: true, TTY: true})
	must(d.t, err)
	must(d.t, <-resized)
	// crun has turned its stderr to the terminal when it finds that there is no such program.
	x, err = d.ExecCreate(ctx, id, client.ExecCreateOptions{Cmd: []string{"nosuch"}, TTY: true})
	must(d.t, err)
	_, err = d.ExecStart(ctx, x.ID, client.ExecStartOptions{Detach: true, TTY: true})
	if err == nil || !strings.Contains(err.Error(), `exec: "nosuch": executable file not found in $PATH`) {
		d.t.Errorf("exec of nothing with a terminal: %v", err)
	}
	_, err = d.ContainerRemove(ctx, id, client.ContainerRemoveOptions{Force: true})
	must(d.t, err)
}
