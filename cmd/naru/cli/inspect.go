package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"text/template"

	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/api/types/image"
	"github.com/moby/moby/api/types/network"
	"github.com/moby/moby/api/types/volume"
	"github.com/spf13/cobra"

	"naru/cmd/naru/table"
	"naru/host/client"
)

// inspectable is a kind of thing that can be inspected.
type inspectable struct {
	kind string
	get  func(ctx context.Context, c *client.Client, name string, o inspectOptions) ([]byte, error)
	typ  func() any // what the answer is decoded into for a template
}

// inspectOptions are those of single kinds.
type inspectOptions struct {
	size     bool   // of containers: sizes of their files
	platform string // of images: only one of this platform
}

var inspectables = []inspectable{
	{"container", func(ctx context.Context, c *client.Client, name string, o inspectOptions) ([]byte, error) {
		return c.ContainerInspectRaw(ctx, name, o.size)
	}, func() any { return new(container.InspectResponse) }},
	{"image", func(ctx context.Context, c *client.Client, name string, o inspectOptions) ([]byte, error) {
		return c.ImageInspectRaw(ctx, name, o.platform)
	}, func() any { return new(image.InspectResponse) }},
	{"network", func(ctx context.Context, c *client.Client, name string, _ inspectOptions) ([]byte, error) {
		return c.NetworkInspectRaw(ctx, name)
	}, func() any { return new(network.Inspect) }},
	{"volume", func(ctx context.Context, c *client.Client, name string, _ inspectOptions) ([]byte, error) {
		return c.VolumeInspectRaw(ctx, name)
	}, func() any { return new(volume.Volume) }},
}

func (a *app) inspectCommand() *cobra.Command {
	var kind, format string
	var o inspectOptions
	cmd := &cobra.Command{
		Use: "inspect [OPTIONS] NAME|ID [NAME|ID...]", Short: "Return low-level information on containers, images, networks and volumes",
		Args: atLeast(1), ValidArgsFunction: a.completeContainers(0, anyState),
	}
	f := cmd.Flags()
	f.StringVarP(&format, "format", "f", "", `Format output: "json" or a Go template`)
	f.StringVar(&kind, "type", "", "Only inspect objects of the given type")
	f.BoolVarP(&o.size, "size", "s", false, "Display total file sizes if the type is container")
	_ = cmd.RegisterFlagCompletionFunc("type", fixed("container", "image", "network", "volume"))
	cmd.RunE = a.withEngine(func(cmd *cobra.Command, c *client.Client, args []string) error {
		kinds := inspectables
		if kind != "" {
			if kinds = kindNamed(kind); kinds == nil {
				return fmt.Errorf(`unknown type: %q: must be one of "container", "image", "network", "volume"`, kind)
			}
		}
		return a.inspect(cmd.Context(), c, kinds, args, format, o)
	})
	return cmd
}

func kindNamed(kind string) []inspectable {
	for i := range inspectables {
		if inspectables[i].kind == kind {
			return inspectables[i : i+1]
		}
	}
	return nil
}

// inspectKind is `inspect` of a management group: one kind only.
func (a *app) inspectKind(kind string) *cobra.Command {
	var format string
	var o inspectOptions
	cmd := &cobra.Command{
		Use:  fmt.Sprintf("inspect [OPTIONS] %[1]s [%[1]s...]", strings.ToUpper(kind)),
		Args: atLeast(1), Short: "Display detailed information on one or more " + kind + "s",
	}
	switch kind {
	case "container":
		cmd.ValidArgsFunction = a.completeContainers(0, anyState)
		cmd.Flags().BoolVarP(&o.size, "size", "s", false, "Display total file sizes")
	case "image":
		cmd.ValidArgsFunction = a.completeImages(0)
		cmd.Flags().StringVar(&o.platform, "platform", "", `Inspect a specific platform of the image ("os[/arch[/variant]]")`)
	case "volume":
		cmd.ValidArgsFunction = a.completeVolumes(0)
	case "network":
		cmd.ValidArgsFunction = a.completeNetworks(0)
	}
	cmd.Flags().StringVarP(&format, "format", "f", "", `Format output: "json" or a Go template`)
	cmd.RunE = a.withEngine(func(cmd *cobra.Command, c *client.Client, args []string) error {
		return a.inspect(cmd.Context(), c, kindNamed(kind), args, format, o)
	})
	return cmd
}

// inspect prints what was found, and then the errors of the rest.
func (a *app) inspect(ctx context.Context, c *client.Client, kinds []inspectable, names []string, format string, o inspectOptions) error {
	show, err := newInspectPrinter(format)
	if err != nil {
		return err
	}
	errs := each(names, func(name string) error {
		raw, kind, err := find(ctx, c, kinds, name, o)
		if err != nil {
			return err
		}
		return show.add(raw, kind.typ())
	})
	show.printTo(a)
	return errs
}

// find asks for one kind after the other.
func find(ctx context.Context, c *client.Client, kinds []inspectable, name string, o inspectOptions) ([]byte, inspectable, error) {
	for _, kind := range kinds {
		raw, err := kind.get(ctx, c, name, o)
		if err == nil {
			return raw, kind, nil
		}
		missing := client.IsNotFound(err) || client.IsNotImplemented(err) && len(kinds) > 1
		if !missing || len(kinds) == 1 {
			return nil, kind, err
		}
	}
	return nil, inspectable{}, fmt.Errorf("No such object: %s", name) //nolint:staticcheck // Docker's words
}

// inspectPrinter collects the documents, as a JSON list or run through a template.
type inspectPrinter struct {
	tmpl *template.Template // nil for JSON
	raw  *template.Template
	line bool // JSON on one line
	docs []json.RawMessage
	text bytes.Buffer
}

func newInspectPrinter(format string) (*inspectPrinter, error) {
	switch format {
	case "":
		return &inspectPrinter{}, nil
	case "json":
		return &inspectPrinter{line: true}, nil
	}
	tmpl, err := table.Parse(format)
	if err != nil {
		return nil, err
	}
	raw, err := tmpl.Clone()
	if err != nil {
		return nil, err
	}
	return &inspectPrinter{tmpl: tmpl, raw: raw.Option("missingkey=error")}, nil
}

// add takes one document. A template sees Go's fields first; what it does not find there, it is looked for in the
// JSON as the engine wrote it, where `{{.Id}}` and the fields of other engines are.
func (p *inspectPrinter) add(raw []byte, typed any) error {
	if p.tmpl == nil {
		p.docs = append(p.docs, raw)
		return nil
	}
	var b bytes.Buffer
	if err := json.Unmarshal(raw, typed); err == nil && p.tmpl.Execute(&b, typed) == nil {
		p.text.Write(append(b.Bytes(), '\n'))
		return nil
	}
	dec := json.NewDecoder(bytes.NewReader(raw))
	dec.UseNumber()
	var doc any
	if err := dec.Decode(&doc); err != nil {
		return err
	}
	b.Reset()
	if err := p.raw.Execute(&b, doc); err != nil {
		return fmt.Errorf("template parsing error: %w", err)
	}
	p.text.Write(append(b.Bytes(), '\n'))
	return nil
}

func (p *inspectPrinter) printTo(a *app) {
	if p.tmpl != nil {
		_, _ = a.out.Write(p.text.Bytes())
		return
	}
	var b bytes.Buffer
	docs, _ := json.Marshal(p.docs) // the engine's JSON was decoded by nobody yet, but is valid or the call failed
	switch {
	case len(p.docs) == 0:
		b.WriteString("[]")
	case p.line:
		b.Write(docs)
	default:
		_ = json.Indent(&b, docs, "", "    ")
	}
	b.WriteByte('\n')
	_, _ = a.out.Write(b.Bytes())
}
