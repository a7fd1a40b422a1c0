package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"github.com/moby/moby/api/types/system"
	"github.com/spf13/cobra"

	"naru/cmd/naru/table"
	"naru/guest/api"
	"naru/host/client"
)

const inspectFormatHelp = `Format output: "json" or a Go template`

// clientInfo is what `info` tells about the CLI itself.
type clientInfo struct {
	Debug bool
	clientVersion
	Socket   string
	Plugins  []struct{}
	Warnings []string
}

func (a *app) infoCommand() *cobra.Command {
	var format string
	cmd := &cobra.Command{
		Use: "info [OPTIONS]", Short: "Display information about the engine and where it runs", Args: exactly(0),
		Example: "  naru info\n  naru info --format '{{.ServerVersion}} {{.CgroupVersion}}'", ValidArgsFunction: cobra.NoFileCompletions,
	}
	cmd.Flags().StringVarP(&format, "format", "f", "", inspectFormatHelp)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		c, err := a.engine()
		if err != nil {
			return err
		}
		own := clientInfo{clientVersion: a.clientVersion(), Socket: a.target.Socket, Plugins: []struct{}{}}
		own.APIVersion = ""
		info, raw, err := c.Info(cmd.Context())
		if format == "" {
			a.printClient(own)
			if err == nil {
				a.printServer(info, naruInfo(cmd.Context(), c))
			}
			return err
		}
		if err != nil {
			return err
		}
		return a.formatInfo(format, info, own, raw)
	}
	return cmd
}

// naruInfo is empty for another engine than ours.
func naruInfo(ctx context.Context, c *client.Client) api.Info {
	ours, err := c.NaruInfo(ctx)
	if err != nil {
		return api.Info{}
	}
	return ours
}

// formatInfo prints the engine's document with ClientInfo as one more field of it. A template sees Go's fields first, and
// then those of the document as it is.
func (a *app) formatInfo(format string, info system.Info, own clientInfo, raw []byte) error {
	mine, err := json.Marshal(own)
	if err != nil {
		return err
	}
	raw = bytes.TrimSpace(raw)
	if len(raw) < 3 || raw[0] != '{' {
		return errors.New("the engine's answer is no JSON object")
	}
	raw = fmt.Appendf(raw[:len(raw)-1:len(raw)-1], `,"ClientInfo":%s}`, mine)
	if format == "json" {
		_, err := fmt.Fprintln(a.out, string(raw))
		return err
	}
	tmpl, err := table.Parse(format)
	if err != nil {
		return err
	}
	var b bytes.Buffer
	typed := struct {
		system.Info
		ClientInfo clientInfo
	}{info, own}
	if tmpl.Execute(&b, typed) != nil {
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
}

// list prints lines of a page.
type list struct{ w io.Writer }

// line prints a name and what is there of the values; nothing when they are all empty.
func (l list) line(name string, value any) {
	if s := fmt.Sprint(value); s != "" {
		fmt.Fprintf(l.w, "%s %s\n", name, s)
	}
}

// always also prints what is empty.
func (l list) always(name string, value any) { fmt.Fprintln(l.w, name, value) }

func (l list) items(name string, items []string) {
	if len(items) == 0 {
		return
	}
	fmt.Fprintln(l.w, name)
	for _, item := range items {
		fmt.Fprintln(l.w, "  "+item)
	}
}

func (a *app) printClient(own clientInfo) {
	l := list{a.out}
	fmt.Fprintln(a.out, "Client: naru")
	l.line(" Version:   ", own.Version)
	l.always(" Context:   ", own.Context)
	l.line(" Socket:    ", own.Socket)
	l.always(" Debug Mode:", own.Debug)
	fmt.Fprintln(a.out)
}

// runsIn says where an engine of ours is.
func runsIn(ours api.Info) string {
	return map[string]string{api.ModeDirect: "directly on this Linux", api.ModeMachine: "in the VM"}[ours.Mode]
}
