package cli

import (
	"bytes"
	"encoding/json"
	"fmt"
	"runtime"
	"text/tabwriter"

	"github.com/moby/moby/api/types/system"
	"github.com/spf13/cobra"

	"naru/cmd/naru/table"
	"naru/host/client"
)

// versions is what `version --format` sees.
type versions struct {
	Client clientVersion
	Server *serverVersion `json:",omitempty"`
}

type clientVersion struct {
	Version    string
	APIVersion string `json:"ApiVersion"`
	GoVersion  string
	Os         string
	Arch       string
	Context    string
}

type serverVersion = system.VersionResponse

func (a *app) versionCommand() *cobra.Command {
	var format string
	var clientOnly bool
	cmd := &cobra.Command{Use: "version [OPTIONS]", Short: "Show the version of naru and of its engine", Args: exactly(0)}
	cmd.Flags().StringVarP(&format, "format", "f", "", `Format output: "json" or a Go template`)
	cmd.Flags().BoolVar(&clientOnly, "client", false, "Only show the version of the CLI")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		v := versions{Client: clientVersion{
			Version: a.version, APIVersion: client.APIVersion, GoVersion: runtime.Version(), Os: runtime.GOOS, Arch: runtime.GOARCH,
		}}
		t, err := a.resolve()
		if err != nil {
			return err
		}
		v.Client.Context = t.Name
		if clientOnly {
			return a.printVersions(v, format)
		}
		c, err := a.engine()
		if err == nil {
			if v.Client.APIVersion, err = c.Version(cmd.Context()); err == nil {
				var s serverVersion
				if s, err = c.ServerVersion(cmd.Context()); err == nil {
					v.Server = &s
				}
			}
		}
		if v.Client.APIVersion == "" {
			v.Client.APIVersion = client.APIVersion
		}
		if perr := a.printVersions(v, format); err == nil {
			err = perr
		}
		return err
	}
	return cmd
}

func (a *app) printVersions(v versions, format string) error {
	if format != "" {
		return a.printOne(v, format)
	}
	w := tabwriter.NewWriter(a.out, 20, 1, 1, ' ', 0)
	line := func(name, value string) {
		if value != "" {
			fmt.Fprintf(w, " %s:\t%s\n", name, value)
		}
	}
	fmt.Fprintln(w, "Client: naru")
	line("Version", v.Client.Version)
	line("API version", v.Client.APIVersion)
	line("Go version", v.Client.GoVersion)
	line("OS/Arch", v.Client.Os+"/"+v.Client.Arch)
	line("Context", v.Client.Context)
	if s := v.Server; s != nil {
		fmt.Fprintf(w, "\nServer: %s\n", s.Platform.Name)
		line("Version", s.Version)
		line("API version", fmt.Sprintf("%s (minimum version %s)", s.APIVersion, s.MinAPIVersion))
		line("Go version", s.GoVersion)
		line("OS/Arch", s.Os+"/"+s.Arch)
		line("Kernel", s.KernelVersion)
		for _, c := range s.Components {
			if c.Name != "Engine" {
				line(c.Name, c.Version)
			}
		}
	}
	return w.Flush()
}

// printOne prints one value as JSON or by a template.
func (a *app) printOne(v any, format string) error {
	if format == "json" {
		return json.NewEncoder(a.out).Encode(v)
	}
	tmpl, err := table.Parse(format)
	if err != nil {
		return err
	}
	var b bytes.Buffer
	if err := tmpl.Execute(&b, v); err != nil {
		return fmt.Errorf("template parsing error: %w", err)
	}
	_, err = fmt.Fprintln(a.out, b.String())
	return err
}
