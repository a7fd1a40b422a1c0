package cli

import (
	"bytes"
	"encoding/json"
	"fmt"

	"github.com/docker/go-units"
	"github.com/moby/moby/api/types/system"
	"github.com/spf13/cobra"

	"naru/cmd/naru/table"
	"naru/guest/api"
	"naru/host/client"
)

func (a *app) infoCommand() *cobra.Command {
	var format string
	cmd := &cobra.Command{Use: "info [OPTIONS]", Short: "Display information about the engine and where it runs", Args: exactly(0)}
	cmd.Flags().StringVarP(&format, "format", "f", "", `Format output: "json" or a Go template`)
	cmd.RunE = a.withEngine(func(cmd *cobra.Command, c *client.Client, _ []string) error {
		info, raw, err := c.Info(cmd.Context())
		if err != nil {
			return err
		}
		switch format {
		case "":
			ours, err := c.NaruInfo(cmd.Context())
			if err != nil {
				ours = api.Info{} // another engine than ours
			}
			a.printInfo(info, ours)
			return nil
		case "json":
			_, err = fmt.Fprintln(a.out, string(bytes.TrimSpace(raw)))
			return err
		}
		tmpl, err := table.Parse(format)
		if err != nil {
			return err
		}
		var b bytes.Buffer
		if tmpl.Execute(&b, info) != nil {
			b.Reset()
			var doc any
			if err := json.Unmarshal(raw, &doc); err != nil {
				return err
			}
			if err := tmpl.Execute(&b, doc); err != nil {
				return fmt.Errorf("template parsing error: %w", err)
			}
		}
		_, err = fmt.Fprintln(a.out, b.String())
		return err
	})
	return cmd
}

func (a *app) printInfo(i system.Info, ours api.Info) {
	line := func(name string, value any) {
		if s := fmt.Sprint(value); s != "" {
			fmt.Fprintf(a.out, "%s: %s\n", name, s)
		}
	}
	line("Context", a.target.Name)
	line("Socket", a.target.Socket)
	if ours.Mode != "" {
		line("Runs", map[string]string{api.ModeDirect: "directly on this Linux", api.ModeMachine: "in the VM"}[ours.Mode])
	}
	line("Server Version", i.ServerVersion)
	line("Containers", i.Containers)
	line(" Running", i.ContainersRunning)
	line(" Paused", i.ContainersPaused)
	line(" Stopped", i.ContainersStopped)
	line("Images", i.Images)
	line("Storage Driver", i.Driver)
	line("Logging Driver", i.LoggingDriver)
	line("Cgroup Driver", i.CgroupDriver)
	line("Cgroup Version", i.CgroupVersion)
	line("Default Runtime", i.DefaultRuntime)
	line("Kernel Version", i.KernelVersion)
	line("Operating System", i.OperatingSystem)
	line("OSType", i.OSType)
	line("Architecture", i.Architecture)
	line("CPUs", i.NCPU)
	line("Total Memory", units.BytesSize(float64(i.MemTotal)))
	line("Name", i.Name)
	line("Root Dir", i.DockerRootDir)
	for _, s := range ours.Shares {
		line("Share", s.Path)
	}
	for _, w := range i.Warnings {
		fmt.Fprintln(a.err, w)
	}
}
