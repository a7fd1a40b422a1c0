package cli

import (
	"fmt"
	"maps"
	"strings"
	"time"

	"github.com/moby/moby/api/types/image"
	"github.com/spf13/cobra"

	"naru/cmd/naru/imageref"
	"naru/cmd/naru/table"
	"naru/host/client"
)

// imageSummary is an image as lists have it.
type imageSummary = image.Summary

// imageRow has the fields of `images --format`.
type imageRow struct {
	Containers   string
	CreatedAt    string
	CreatedSince string
	Digest       string
	ID           string
	Repository   string
	SharedSize   string
	Size         string
	Tag          string
	UniqueSize   string
	VirtualSize  string
}

const none = "<none>"

var imageHeader = table.Header{
	"Repository": "REPOSITORY", "Tag": "TAG", "Digest": "DIGEST", "ID": "IMAGE ID", "CreatedSince": "CREATED",
	"CreatedAt": "CREATED AT", "Size": "SIZE", "Containers": "CONTAINERS", "VirtualSize": "SIZE", "SharedSize": "SHARED SIZE",
	"UniqueSize": "UNIQUE SIZE",
}

func (a *app) imagesCommand() *cobra.Command {
	var all, quiet, noTrunc, digests bool
	var format string
	filters := &filterFlag{}
	cmd := &cobra.Command{
		Use: "images [OPTIONS] [REPOSITORY[:TAG]]", Short: "List images", Args: upTo(0, 1), ValidArgsFunction: a.completeImages(1),
	}
	f := cmd.Flags()
	f.BoolVarP(&all, "all", "a", false, "Show all images (default hides intermediate images)")
	f.BoolVarP(&quiet, "quiet", "q", false, "Only show image IDs")
	f.BoolVar(&noTrunc, "no-trunc", false, "Don't truncate output")
	f.BoolVar(&digests, "digests", false, "Show digests")
	f.StringVar(&format, "format", "", formatHelp)
	f.VarP(filters, "filter", "f", "Filter output based on conditions provided")
	cmd.RunE = a.withEngine(func(cmd *cobra.Command, c *client.Client, args []string) error {
		if len(args) > 0 {
			if err := filters.Set("reference=" + args[0]); err != nil {
				return err
			}
		}
		list, err := c.ImageList(cmd.Context(), all, filters.values)
		if err != nil {
			return err
		}
		digests = digests || table.Mentions(format, "Digest")
		spec := table.Spec{Default: "{{.Repository}}\t{{.Tag}}\t{{.ID}}\t{{.CreatedSince}}\t{{.Size}}", Header: imageHeader}
		if digests {
			spec.Default = "{{.Repository}}\t{{.Tag}}\t{{.Digest}}\t{{.ID}}\t{{.CreatedSince}}\t{{.Size}}"
		}
		if quiet && format == "" {
			format = "{{.ID}}"
		}
		return table.Print(a.out, format, spec, imageRows(list, noTrunc, digests))
	})
	return cmd
}

func imageRows(list []image.Summary, full, digests bool) []imageRow {
	var rows []imageRow
	for _, s := range list {
		for _, n := range imageNames(s, digests) {
			created := time.Unix(s.Created, 0)
			rows = append(rows, imageRow{
				ID: table.ID(s.ID, full), Repository: n.repository, Tag: n.tag, Digest: n.digest,
				CreatedAt: created.String(), CreatedSince: table.Ago(created),
				Size: table.Size(s.Size), VirtualSize: humanSize(s.Size),
				SharedSize: sizeOrNA(s.SharedSize), UniqueSize: uniqueSize(s), Containers: countOrNA(s.Containers),
			})
		}
	}
	return rows
}

type imageName struct{ repository, tag, digest string }

// imageNames are the rows of one image: one for each tag, with its digest when digests are shown, and one for each
// digest of a repository without a tag.
func imageNames(s image.Summary, digests bool) []imageName {
	byRepo := map[string]string{}
	for _, d := range s.RepoDigests {
		if ref, err := imageref.Parse(d); err == nil {
			byRepo[ref.Familiar()] = ref.Digest
		}
	}
	var names []imageName
	tagged := map[string]bool{}
	for _, t := range s.RepoTags {
		ref, err := imageref.Parse(t)
		if err != nil {
			continue // <none>:<none>
		}
		n := imageName{ref.Familiar(), ref.Tag, byRepo[ref.Familiar()]}
		if n.digest == "" {
			n.digest = none
		}
		tagged[n.repository] = true
		names = append(names, n)
	}
	for _, repo := range sortedKeys(byRepo) {
		if !tagged[repo] && (digests || len(s.RepoTags) == 0) {
			names = append(names, imageName{repo, none, byRepo[repo]})
		}
	}
	if len(names) == 0 {
		names = []imageName{{none, none, none}}
	}
	return names
}

func sizeOrNA(n int64) string {
	if n < 0 {
		return "N/A"
	}
	return humanSize(n)
}

// uniqueSize is what no other image has of it.
func uniqueSize(s image.Summary) string {
	if s.Size < 0 || s.SharedSize < 0 {
		return "N/A"
	}
	return humanSize(s.Size - s.SharedSize)
}

func countOrNA(n int64) string {
	if n < 0 {
		return "N/A"
	}
	return fmt.Sprint(n)
}

// historyRow has the fields of `history --format`.
type historyRow struct {
	Comment      string
	CreatedAt    string
	CreatedBy    string
	CreatedSince string
	ID           string
	Size         string
}

var historyTable = table.Spec{
	Default: "{{.ID}}\t{{.CreatedSince}}\t{{.CreatedBy}}\t{{.Size}}\t{{.Comment}}",
	Header: table.Header{
		"ID": "IMAGE", "CreatedSince": "CREATED", "CreatedAt": "CREATED AT", "CreatedBy": "CREATED BY", "Size": "SIZE", "Comment": "COMMENT",
	},
}

func (a *app) historyCommand() *cobra.Command {
	var quiet, noTrunc, human bool
	var format, platform string
	cmd := &cobra.Command{
		Use: "history [OPTIONS] IMAGE", Short: "Show the history of an image", Args: exactly(1), ValidArgsFunction: a.completeImages(1),
	}
	f := cmd.Flags()
	f.BoolVarP(&quiet, "quiet", "q", false, "Only show image IDs")
	f.BoolVar(&noTrunc, "no-trunc", false, "Don't truncate output")
	f.BoolVarP(&human, "human", "H", true, "Print sizes and dates in human readable format")
	f.StringVar(&platform, "platform", "", `Show history for the given platform ("os[/arch[/variant]]")`)
	f.StringVar(&format, "format", "", formatHelp)
	cmd.RunE = a.withEngine(func(cmd *cobra.Command, c *client.Client, args []string) error {
		list, err := c.ImageHistory(cmd.Context(), args[0], platform)
		if err != nil {
			return err
		}
		var rows []historyRow
		for _, h := range list {
			rows = append(rows, newHistoryRow(h, noTrunc, human))
		}
		if quiet && format == "" {
			format = "{{.ID}}"
		}
		spec := historyTable
		if !human {
			spec.Header = maps.Clone(spec.Header)
			spec.Header["CreatedSince"] = spec.Header["CreatedAt"]
		}
		return table.Print(a.out, format, spec, rows)
	})
	return cmd
}

func newHistoryRow(h image.HistoryResponseItem, full, human bool) historyRow {
	created := time.Unix(h.Created, 0)
	r := historyRow{
		ID: h.ID, Comment: h.Comment, CreatedBy: strings.ReplaceAll(h.CreatedBy, "\t", " "),
		CreatedAt: created.Format(time.RFC3339), CreatedSince: table.Ago(created), Size: table.Size(h.Size),
	}
	if h.ID != "<missing>" {
		r.ID = table.ID(h.ID, full)
	}
	if !full {
		r.CreatedBy = table.Ellipsis(r.CreatedBy, 45)
	}
	if h.Created <= 0 {
		r.CreatedSince = "N/A"
	}
	if !human {
		r.CreatedSince, r.Size = r.CreatedAt, fmt.Sprint(h.Size)
	}
	return r
}
