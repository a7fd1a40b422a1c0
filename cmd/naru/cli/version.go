package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"runtime"
	"strings"
	"text/tabwriter"

	"github.com/moby/moby/api/types/system"
	"github.com/spf13/cobra"

	"naru/cmd/naru/table"
	"naru/host/client"
)

// versions is what `version --format` sees.
type versions struct {
	Client clientVersion
	Server *serverVersion // nil when there is none
}

type clientVersion struct {
	Version           string `json:",omitempty"`
	APIVersion        string `json:"ApiVersion,omitempty"`
	DefaultAPIVersion string `json:",omitempty"`
	GitCommit         string `json:",omitempty"`
	GoVersion         string `json:",omitempty"`
	Os                string `json:",omitempty"`
	Arch              string `json:",omitempty"`
	BuildTime         string `json:",omitempty"`
	Context           string
}

type serverVersion = system.VersionResponse

func (a *app) clientVersion() clientVersion {
	v := clientVersion{
		Version: a.version, APIVersion: client.APIVersion, DefaultAPIVersion: client.APIVersion,
		GoVersion: runtime.Version(), Os: runtime.GOOS, Arch: runtime.GOARCH,
	}
	if t, err := a.resolve(); err == nil {
		v.Context = t.Name
	}
	return v
}

func (a *app) versionCommand() *cobra.Command {
	var format string
	var clientOnly bool
	cmd := &cobra.Command{
		Use: "version [OPTIONS]", Short: "Show the version of naru and of its engine", Args: exactly(0),
		Example: "  naru version\n  naru version --format '{{.Server.APIVersion}}'", ValidArgsFunction: cobra.NoFileCompletions,
	}
	cmd.Flags().StringVarP(&format, "format", "f", "", inspectFormatHelp)
	cmd.Flags().BoolVar(&clientOnly, "client", false, "Only show the version of the CLI")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if _, err := a.resolve(); err != nil {
			return err
		}
		v := versions{Client: a.clientVersion()}
		var err error
		if !clientOnly {
			err = a.askVersion(cmd.Context(), &v)
		}
		if perr := a.printVersions(v, format); err == nil {
			err = perr
		}
		return err
	}
	return cmd
}

// askVersion fills in the engine's, and the version of the API that is spoken with it.
func (a *app) askVersion(ctx context.Context, v *versions) error {
	c, err := a.engine()
	if err != nil {
		return err
	}
	s, err := c.ServerVersion(ctx)
	if err != nil {
		return err
	}
	v.Server = &s
	v.Client.APIVersion, err = c.Version(ctx)
	return err
}

func (a *app) printVersions(v versions, format string) error {
	if format != "" {
		return a.printOne(v, format)
	}
	w := tabwriter.NewWriter(a.out, 20, 1, 1, ' ', 0)
	line := func(indent, name, value string) { fmt.Fprintf(w, "%s%s:\t%s\n", indent, name, value) }
	fmt.Fprintln(w, "Client: naru")
	line(" ", "Version", v.Client.Version)
	spoken := v.Client.APIVersion
	if spoken != v.Client.DefaultAPIVersion {
		spoken += " (downgraded from " + v.Client.DefaultAPIVersion + ")"
	}
	line(" ", "API version", spoken)
	line(" ", "Go version", v.Client.GoVersion)
	line(" ", "OS/Arch", v.Client.Os+"/"+v.Client.Arch)
	line(" ", "Context", v.Client.Context)
	if s := v.Server; s != nil {
		fmt.Fprintln(w, strings.TrimRight("\nServer: "+s.Platform.Name, " "))
		for _, c := range s.Components {
			fmt.Fprintf(w, " %s:\n", c.Name)
			printComponent(c, line)
		}
	}
	return w.Flush()
}

// engineDetails are the lines of the component Engine: Docker's, as far as the engine tells of them.
var engineDetails = []struct{ name, key string }{
	{"Go version", "GoVersion"}, {"Git commit", "GitCommit"}, {"Built", "BuildTime"}, {"Kernel", "KernelVersion"},
}

func printComponent(c system.ComponentVersion, line func(indent, name, value string)) {
	line("  ", "Version", c.Version)
	if c.Name != "Engine" {
		for _, key := range sortedKeys(c.Details) {
			if c.Details[key] != "" {
				line("  ", key, c.Details[key])
			}
		}
		return
	}
	d := c.Details
	line("  ", "API version", fmt.Sprintf("%s (minimum version %s)", d["ApiVersion"], d["MinAPIVersion"]))
	for _, e := range engineDetails {
		if d[e.key] != "" {
			line("  ", e.name, d[e.key])
		}
	}
	line("  ", "OS/Arch", d["Os"]+"/"+d["Arch"])
	line("  ", "Experimental", d["Experimental"])
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
