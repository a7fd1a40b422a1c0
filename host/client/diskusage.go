package client

import (
	"context"
	"net/http"
	"net/url"

	"github.com/moby/moby/api/types/build"
	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/api/types/image"
	"github.com/moby/moby/api/types/system"
	"github.com/moby/moby/api/types/volume"
)

// DiskUsage is what an engine's objects take on disk. No part of it is nil.
type DiskUsage struct {
	Images     *image.DiskUsage
	Containers *container.DiskUsage
	Volumes    *volume.DiskUsage
	BuildCache *build.DiskUsage
}

// olderDiskUsage is the answer up to API 1.51: lists, which the client counts.
type olderDiskUsage struct {
	LayersSize int64
	Images     []image.Summary
	Containers []container.Summary
	Volumes    []volume.Volume
	BuildCache []build.CacheRecord
}

// DiskUsage measures, which takes a while where volumes or containers hold many files.
func (c *Client) DiskUsage(ctx context.Context) (u DiskUsage, err error) {
	version, err := c.Version(ctx)
	if err != nil {
		return u, err
	}
	r := request{method: http.MethodGet, path: "/system/df"}
	if Older(version, "1.52") {
		older, err := call[olderDiskUsage](ctx, c, r)
		return older.counted(), err
	}
	r.query = url.Values{"verbose": {"1"}}
	got, err := call[system.DiskUsage](ctx, c, r)
	u = olderDiskUsage{}.counted()
	u.Images, u.Containers = orOther(got.ImageUsage, u.Images), orOther(got.ContainerUsage, u.Containers)
	u.Volumes, u.BuildCache = orOther(got.VolumeUsage, u.Volumes), orOther(got.BuildCacheUsage, u.BuildCache)
	return u, err
}

func orOther[T any](p, other *T) *T {
	if p == nil {
		return other
	}
	return p
}

func (o olderDiskUsage) counted() DiskUsage {
	u := DiskUsage{
		Images:     &image.DiskUsage{Items: o.Images, TotalCount: int64(len(o.Images)), TotalSize: o.LayersSize},
		Containers: &container.DiskUsage{Items: o.Containers, TotalCount: int64(len(o.Containers))},
		Volumes:    &volume.DiskUsage{Items: o.Volumes, TotalCount: int64(len(o.Volumes))},
		BuildCache: &build.DiskUsage{Items: o.BuildCache, TotalCount: int64(len(o.BuildCache))},
	}
	for _, i := range o.Images {
		if i.Containers != 0 {
			u.Images.ActiveCount++
		} else if i.Size != -1 && i.SharedSize != -1 {
			u.Images.Reclaimable += i.Size - i.SharedSize
		}
	}
	for _, c := range o.Containers {
		u.Containers.TotalSize += c.SizeRw
		switch c.State {
		case container.StateRunning, container.StatePaused, container.StateRestarting:
			u.Containers.ActiveCount++
		default:
			u.Containers.Reclaimable += c.SizeRw
		}
	}
	for _, v := range o.Volumes {
		if v.UsageData == nil || v.UsageData.Size == -1 {
			continue
		}
		u.Volumes.TotalSize += v.UsageData.Size
		if v.UsageData.RefCount > 0 {
			u.Volumes.ActiveCount++
		} else {
			u.Volumes.Reclaimable += v.UsageData.Size
		}
	}
	for _, b := range o.BuildCache {
		if !b.Shared {
			u.BuildCache.TotalSize += b.Size
		}
		if b.InUse {
			u.BuildCache.ActiveCount++
		} else if !b.Shared {
			u.BuildCache.Reclaimable += b.Size
		}
	}
	return u
}

// BuildCachePrune removes what builds do not need any more.
func (c *Client) BuildCachePrune(ctx context.Context, all bool, f Filters) (build.CachePruneReport, error) {
	q := url.Values{}
	setBool(q, "all", all)
	f.set(q)
	return call[build.CachePruneReport](ctx, c, request{method: http.MethodPost, path: "/build/prune", query: q})
}
