package cli

import (
	"bytes"
	"encoding/json"
	"fmt"
	"time"

	"github.com/moby/moby/api/types/build"

	"naru/cmd/naru/table"
	"naru/host/client"
)

// usages is what `system df -v --format` sees.
type usages struct {
	Images     []imageRow
	Containers []containerRow
	Volumes    []volumeRow
	BuildCache []cacheRow
}

// cacheRow has the fields of a record of the build cache.
type cacheRow struct {
	CacheType     string
	CreatedAt     string
	CreatedSince  string
	Description   string
	ID            string
	InUse         string
	LastUsedAt    string
	LastUsedSince string
	Parent        string
	Shared        string
	Size          string
	UsageCount    string
}

// The tables of `system df -v`, which have other columns than the lists.
var (
	imageUsageTable = table.Spec{
		Default: "{{.Repository}}\t{{.Tag}}\t{{.ID}}\t{{.CreatedSince}}\t{{.Size}}\t{{.SharedSize}}\t{{.UniqueSize}}\t{{.Containers}}",
		Header:  imageHeader,
	}
	containerUsageTable = table.Spec{
		Default: "{{.ID}}\t{{.Image}}\t{{.Command}}\t{{.LocalVolumes}}\t{{.Size}}\t{{.RunningFor}}\t{{.Status}}\t{{.Names}}",
		Header:  containerTable.Header,
	}
	volumeUsageTable = table.Spec{Default: "{{.Name}}\t{{.Links}}\t{{.Size}}", Header: volumeTable.Header}
	cacheUsageTable  = table.Spec{
		Default: "{{.ID}}\t{{.CacheType}}\t{{.Size}}\t{{.CreatedSince}}\t{{.LastUsedSince}}\t{{.UsageCount}}\t{{.Shared}}",
		Header: table.Header{
			"ID": "CACHE ID", "CacheType": "CACHE TYPE", "Size": "SIZE", "CreatedSince": "CREATED", "LastUsedSince": "LAST USED",
			"UsageCount": "USAGE", "Shared": "SHARED",
		},
	}
)

// printUsages prints each kind as a table of its own, or all of them as one document.
func (a *app) printUsages(u client.DiskUsage, format string) error {
	asTable := format == "" || format == "table"
	rows := newUsages(u, !asTable)
	if format == "json" {
		return json.NewEncoder(a.out).Encode(rows)
	}
	if !asTable {
		tmpl, err := table.Parse(format)
		if err != nil {
			return err
		}
		return tmpl.Execute(a.out, rows)
	}
	var b bytes.Buffer
	section := func(title string, print func() error) error {
		fmt.Fprint(&b, title+"\n\n")
		return print()
	}
	for _, s := range []struct {
		title string
		print func() error
	}{
		{"Images space usage:", func() error { return table.Print(&b, "", imageUsageTable, rows.Images) }},
		{"\nContainers space usage:", func() error { return table.Print(&b, "", containerUsageTable, rows.Containers) }},
		{"\nLocal Volumes space usage:", func() error { return table.Print(&b, "", volumeUsageTable, rows.Volumes) }},
		{"\nBuild cache usage: " + humanSize(u.BuildCache.TotalSize), func() error { return table.Print(&b, "", cacheUsageTable, rows.BuildCache) }},
	} {
		if err := section(s.title, s.print); err != nil {
			return err
		}
	}
	_, err := b.WriteTo(a.out)
	return err
}

func newUsages(u client.DiskUsage, full bool) usages {
	out := usages{Images: []imageRow{}, Containers: []containerRow{}, Volumes: []volumeRow{}, BuildCache: []cacheRow{}}
	for _, i := range u.Images.Items {
		i.RepoTags = i.RepoTags[:min(1, len(i.RepoTags))] // an image is one row here
		i.RepoDigests = nil
		for _, row := range imageRows([]imageSummary{i}, full, false) {
			row.Digest = ""
			out.Images = append(out.Images, row)
		}
	}
	for _, c := range u.Containers.Items {
		c.SizeRootFs = 0 // that of the image is among the images
		out.Containers = append(out.Containers, newContainerRow(c, full))
	}
	for _, v := range u.Volumes.Items {
		out.Volumes = append(out.Volumes, newVolumeRow(v))
	}
	for _, r := range u.BuildCache.Items {
		out.BuildCache = append(out.BuildCache, newCacheRow(r, full))
	}
	return out
}

func newCacheRow(r build.CacheRecord, full bool) cacheRow {
	row := cacheRow{
		ID: table.ID(r.ID, full), CacheType: r.Type, Description: r.Description, Size: humanSize(r.Size), CreatedAt: r.CreatedAt.String(),
		CreatedSince: table.Ago(r.CreatedAt), UsageCount: fmt.Sprint(r.UsageCount), InUse: fmt.Sprint(r.InUse), Shared: fmt.Sprint(r.Shared),
	}
	if r.InUse && !full {
		row.ID += "*"
	}
	if r.LastUsedAt != nil {
		row.LastUsedAt, row.LastUsedSince = r.LastUsedAt.Format(time.RFC3339Nano), table.Ago(*r.LastUsedAt)
	}
	for i, p := range r.Parents {
		if i > 0 {
			row.Parent += ", "
		}
		row.Parent += table.ID(p, full)
	}
	return row
}
