package cli

import (
	"encoding/json"
	"fmt"
	"strings"
	"text/template"
	"time"

	"github.com/moby/moby/api/types/events"
	"github.com/spf13/cobra"

	"naru/cmd/naru/table"
	"naru/host/client"
)

func (a *app) eventsCommand() *cobra.Command {
	var since, until, format string
	filters := &filterFlag{}
	cmd := &cobra.Command{Use: "events [OPTIONS]", Short: "Get real time events from the engine", Args: exactly(0)}
	f := cmd.Flags()
	f.StringVar(&since, "since", "", "Show all events created since timestamp")
	f.StringVar(&until, "until", "", "Stream events until this timestamp")
	f.VarP(filters, "filter", "f", "Filter output based on conditions provided")
	f.StringVar(&format, "format", "", `Format output: "json" or a Go template`)
	cmd.RunE = a.withEngine(func(cmd *cobra.Command, c *client.Client, _ []string) (err error) {
		if since, err = apiTime("since", since); err != nil {
			return err
		}
		if until, err = apiTime("until", until); err != nil {
			return err
		}
		show, err := a.eventPrinter(format)
		if err != nil {
			return err
		}
		return c.Events(cmd.Context(), since, until, filters.values, show)
	})
	return cmd
}

func (a *app) eventPrinter(format string) (func(events.Message) error, error) {
	switch format {
	case "":
		return func(m events.Message) error {
			_, err := fmt.Fprintln(a.out, eventLine(m))
			return err
		}, nil
	case "json":
		enc := json.NewEncoder(a.out)
		return func(m events.Message) error { return enc.Encode(m) }, nil
	}
	var tmpl *template.Template
	tmpl, err := table.Parse(format)
	if err != nil {
		return nil, err
	}
	return func(m events.Message) error {
		if err := tmpl.Execute(a.out, eventForTemplate{m, string(m.Action), m.Actor.ID, m.Actor.Attributes["image"]}); err != nil {
			return fmt.Errorf("template parsing error: %w", err)
		}
		_, err := fmt.Fprintln(a.out)
		return err
	}, nil
}

// eventForTemplate has the fields that older templates use.
type eventForTemplate struct {
	events.Message
	Status, ID, From string
}

// eventTime is RFC 3339 with all nine digits, so that lines are aligned.
const eventTime = "2006-01-02T15:04:05.000000000Z07:00"

func eventLine(m events.Message) string {
	at := time.Unix(m.Time, 0)
	if m.TimeNano != 0 {
		at = time.Unix(0, m.TimeNano)
	}
	line := fmt.Sprintf("%s %s %s %s", at.Format(eventTime), m.Type, m.Action, m.Actor.ID)
	if len(m.Actor.Attributes) > 0 {
		line += " (" + strings.ReplaceAll(labelList(m.Actor.Attributes), ",", ", ") + ")"
	}
	return line
}
