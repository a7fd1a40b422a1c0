package server

import (
	"context"
	"fmt"
	"net/http"

	"github.com/containerd/errdefs"
	buildtypes "github.com/moby/moby/api/types/build"
	apicontainer "github.com/moby/moby/api/types/container"
	apiimage "github.com/moby/moby/api/types/image"
	"github.com/moby/moby/api/types/system"
	apivolume "github.com/moby/moby/api/types/volume"
	"golang.org/x/sync/errgroup"
	"golang.org/x/sync/singleflight"

	"naru/guest/engine"
	"naru/guest/engine/container"
	"naru/guest/engine/image"
)

// usages measures disk usage; who asks while a measurement is under way gets its result.
type usages struct {
	e     *engine.Engine
	group singleflight.Group
}

// diskUsage is the answer in both its shapes. Up to API 1.51 there were only the lists; 1.52 has both, as there are
// clients that name no version, but for one that says `verbose`, which is new as well, only the new shape.
type diskUsage struct {
	LayersSize int64                    `json:"LayersSize,omitempty"`
	Images     []apiimage.Summary       `json:"Images,omitzero"`
	Containers []apicontainer.Summary   `json:"Containers,omitzero"`
	Volumes    []apivolume.Volume       `json:"Volumes,omitzero"`
	BuildCache []buildtypes.CacheRecord `json:"BuildCache,omitzero"`
	*system.DiskUsage
}

// allObjects are the types that can be asked for.
var allObjects = []system.DiskUsageObject{system.ContainerObject, system.ImageObject, system.VolumeObject, system.BuildCacheObject}

func (h systemHandlers) diskUsage(w http.ResponseWriter, r *http.Request, _ map[string]string) error {
	version := requestVersion(r)
	objects, err := usageObjects(r.URL.Query()["type"], lessVersion(version, "1.42"))
	if err != nil {
		return err
	}
	usage, err := h.usages.measure(r.Context(), objects)
	if err != nil {
		return err
	}
	verbose := boolValue(r, "verbose")
	switch {
	case lessVersion(version, "1.44"):
		return writeJSON(w, http.StatusOK, withVirtualSizes(lists(usage)))
	case lessVersion(version, "1.52"):
		return writeJSON(w, http.StatusOK, lists(usage))
	case verbose:
		return writeJSON(w, http.StatusOK, diskUsage{DiskUsage: usage})
	}
	out := lists(usage)
	out.DiskUsage = usage
	return writeJSON(w, http.StatusOK, out)
}

// usageObjects are the types that are asked for, all when none is named or the client cannot know of them.
func usageObjects(names []string, older bool) (map[system.DiskUsageObject]bool, error) {
	objects := map[system.DiskUsageObject]bool{}
	for _, o := range allObjects {
		objects[o] = older || len(names) == 0
	}
	for _, name := range names {
		if _, known := objects[system.DiskUsageObject(name)]; !known && !older {
			return nil, errdefs.ErrInvalidArgument.WithMessage(fmt.Sprintf("unknown object type: %s", name))
		}
		objects[system.DiskUsageObject(name)] = true
	}
	return objects, nil
}

// measure returns the usage of the objects, with items. They are shared with other requests and must not be changed.
func (u *usages) measure(ctx context.Context, objects map[system.DiskUsageObject]bool) (*system.DiskUsage, error) {
	out := &system.DiskUsage{}
	g, ctx := errgroup.WithContext(ctx)
	if objects[system.ContainerObject] {
		g.Go(func() (err error) {
			out.ContainerUsage, err = once(ctx, &u.group, "containers", u.containers)
			return err
		})
	}
	if objects[system.ImageObject] {
		g.Go(func() (err error) {
			out.ImageUsage, err = once(ctx, &u.group, "images", u.images)
			return err
		})
	}
	if objects[system.VolumeObject] {
		g.Go(func() (err error) {
			out.VolumeUsage, err = once(ctx, &u.group, "volumes", u.volumes)
			return err
		})
	}
	if objects[system.BuildCacheObject] {
		g.Go(func() (err error) {
			out.BuildCacheUsage, err = once(ctx, &u.group, "build cache", u.buildCache)
			return err
		})
	}
	return out, g.Wait()
}

// once calls f unless it is being called. A caller whose context ends goes without the others' losing anything.
func once[T any](ctx context.Context, group *singleflight.Group, key string, f func(context.Context) (T, error)) (out T, err error) {
	result := group.DoChan(key, func() (any, error) { return f(context.WithoutCancel(ctx)) })
	select {
	case r := <-result:
		out, _ = r.Val.(T)
		return out, r.Err
	case <-ctx.Done():
		return out, context.Cause(ctx)
	}
}

func (u *usages) buildCache(ctx context.Context) (*buildtypes.DiskUsage, error) {
	list, err := u.e.Builds.Usage(ctx)
	if err != nil {
		return nil, err
	}
	out := &buildtypes.DiskUsage{TotalCount: int64(len(list)), Items: list}
	for _, c := range list {
		out.TotalSize += c.Size
		switch {
		case c.InUse:
			out.ActiveCount++
		case !c.Shared:
			out.Reclaimable += c.Size
		}
	}
	return out, nil
}

func (u *usages) containers(ctx context.Context) (*apicontainer.DiskUsage, error) {
	list, err := u.e.Containers.List(ctx, container.ListOptions{All: true, Size: true})
	if err != nil {
		return nil, err
	}
	out := &apicontainer.DiskUsage{TotalCount: int64(len(list)), Items: list}
	for _, c := range list {
		out.TotalSize += c.SizeRw
		switch c.State {
		case apicontainer.StateRunning, apicontainer.StatePaused, apicontainer.StateRestarting:
			out.ActiveCount++
		default:
			out.Reclaimable += c.SizeRw
		}
	}
	return out, nil
}

func (u *usages) images(ctx context.Context) (*apiimage.DiskUsage, error) {
	list, err := u.e.Images.List(ctx, image.ListOptions{Shared: true, Uses: true})
	if err != nil {
		return nil, err
	}
	out := &apiimage.DiskUsage{TotalCount: int64(len(list)), Items: list}
	for _, i := range list {
		if i.Containers > 0 {
			out.ActiveCount++
		} else {
			out.Reclaimable += i.Size - i.SharedSize
		}
	}
	out.TotalSize, err = u.e.Images.LayersSize(ctx)
	return out, err
}

func (u *usages) volumes(ctx context.Context) (*apivolume.DiskUsage, error) {
	list, err := u.e.Volumes.Usage(ctx)
	if err != nil {
		return nil, err
	}
	out := &apivolume.DiskUsage{TotalCount: int64(len(list)), Items: list}
	for _, v := range list {
		out.TotalSize += v.UsageData.Size
		if v.UsageData.RefCount > 0 {
			out.ActiveCount++
		} else {
			out.Reclaimable += v.UsageData.Size
		}
	}
	return out, nil
}

// lists is the old shape: what was not asked for is left out, what is there is never null.
func lists(u *system.DiskUsage) (out diskUsage) {
	if u.ImageUsage != nil {
		out.LayersSize, out.Images = u.ImageUsage.TotalSize, orEmpty(u.ImageUsage.Items)
	}
	if u.ContainerUsage != nil {
		out.Containers = orEmpty(u.ContainerUsage.Items)
	}
	if u.VolumeUsage != nil {
		out.Volumes = orEmpty(u.VolumeUsage.Items)
	}
	if u.BuildCacheUsage != nil {
		out.BuildCache = orEmpty(u.BuildCacheUsage.Items)
	}
	return out
}

func orEmpty[T any](list []T) []T {
	if list == nil {
		return []T{}
	}
	return list
}

// withVirtualSizes adds what images had up to API 1.43.
func withVirtualSizes(d diskUsage) any {
	if len(d.Images) == 0 {
		return d
	}
	return withFields{d, map[string]any{"Images": withVirtualSize(d.Images)}}
}
