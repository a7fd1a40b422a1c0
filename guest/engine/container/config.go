package container

import (
	"maps"
	"slices"
	"strings"

	dockerspec "github.com/moby/docker-image-spec/specs-go/v1"
	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/api/types/network"

	"naru/guest/runtime"
)

// mergeImage fills what the user did not set from the image.
func mergeImage(c *container.Config, img *dockerspec.DockerOCIImageConfig) {
	if c.User == "" {
		c.User = img.User
	}
	if c.WorkingDir == "" {
		c.WorkingDir = img.WorkingDir
	}
	if c.StopSignal == "" {
		c.StopSignal = img.StopSignal
	}
	if len(c.Shell) == 0 {
		c.Shell = img.Shell
	}
	mergeCommand(c, img)
	mergeEnv(c, img.Env)
	mergeHealth(c, img.Healthcheck)
	labels := maps.Clone(img.Labels)
	if labels == nil {
		labels = map[string]string{}
	}
	maps.Copy(labels, c.Labels)
	c.Labels = labels
	for port := range img.ExposedPorts {
		if p, err := network.ParsePort(port); err == nil {
			if c.ExposedPorts == nil {
				c.ExposedPorts = network.PortSet{}
			}
			c.ExposedPorts[p] = struct{}{}
		}
	}
	for path := range img.Volumes {
		if c.Volumes == nil {
			c.Volumes = map[string]struct{}{}
		}
		c.Volumes[path] = struct{}{}
	}
}

// mergeCommand: an entrypoint of the user's drops the image's command too, and [""] means none at all.
func mergeCommand(c *container.Config, img *dockerspec.DockerOCIImageConfig) {
	if len(c.Entrypoint) == 0 {
		if len(c.Cmd) == 0 {
			c.Cmd = img.Cmd
		}
		if c.Entrypoint == nil {
			c.Entrypoint = img.Entrypoint
		}
	}
	if len(c.Entrypoint) == 1 && c.Entrypoint[0] == "" {
		c.Entrypoint = nil
	}
}

// mergeEnv puts the image's variables that the user did not set behind the user's, as Docker does.
func mergeEnv(c *container.Config, img []string) {
	set := map[string]bool{}
	for _, kv := range c.Env {
		name, _, _ := strings.Cut(kv, "=")
		set[name] = true
	}
	env := slices.Clone(c.Env)
	for _, kv := range img {
		if name, _, _ := strings.Cut(kv, "="); !set[name] {
			env = append(env, kv)
		}
	}
	c.Env = env
}

func mergeHealth(c *container.Config, img *dockerspec.HealthcheckConfig) {
	if img == nil {
		return
	}
	if c.Healthcheck == nil {
		c.Healthcheck = img
		return
	}
	h := *c.Healthcheck
	if len(h.Test) == 0 {
		h.Test = img.Test
	}
	if h.Interval == 0 {
		h.Interval = img.Interval
	}
	if h.Timeout == 0 {
		h.Timeout = img.Timeout
	}
	if h.StartPeriod == 0 {
		h.StartPeriod = img.StartPeriod
	}
	if h.StartInterval == 0 {
		h.StartInterval = img.StartInterval
	}
	if h.Retries == 0 {
		h.Retries = img.Retries
	}
	c.Healthcheck = &h
}

// setDefaults fills in what inspect shows for what the user left open.
func setDefaults(hc *container.HostConfig) {
	if hc.NetworkMode == "" || hc.NetworkMode.IsDefault() {
		hc.NetworkMode = "bridge"
	}
	if hc.LogConfig.Config == nil {
		hc.LogConfig.Config = map[string]string{}
	}
	if hc.RestartPolicy.Name == "" {
		hc.RestartPolicy.Name = container.RestartPolicyDisabled
	}
	if hc.Runtime == "" {
		hc.Runtime = runtime.Runtimes[0]
	}
	defaultLimits(hc)
	defaultIsolation(hc)
}

func defaultLimits(hc *container.HostConfig) {
	if hc.ShmSize == 0 {
		hc.ShmSize = runtime.DefaultShm
	}
	if hc.Memory > 0 && hc.MemorySwap == 0 {
		hc.MemorySwap = 2 * hc.Memory
	}
	if hc.PidsLimit != nil && *hc.PidsLimit <= 0 {
		hc.PidsLimit = nil
	}
	if hc.OomKillDisable == nil {
		hc.OomKillDisable = new(bool)
	}
}

func defaultIsolation(hc *container.HostConfig) {
	if hc.IpcMode == "" {
		hc.IpcMode = container.IPCModePrivate
	}
	if hc.CgroupnsMode == "" {
		hc.CgroupnsMode = runtime.DefaultCgroupns()
	}
	if !hc.Privileged {
		if hc.MaskedPaths == nil {
			hc.MaskedPaths = slices.Clone(runtime.DefaultMaskedPaths())
		}
		if hc.ReadonlyPaths == nil {
			hc.ReadonlyPaths = runtime.DefaultReadonlyPaths()
		}
	}
	labelled := slices.ContainsFunc(hc.SecurityOpt, func(o string) bool { return strings.HasPrefix(o, "label=") })
	if !labelled && (hc.Privileged || hc.IpcMode.IsHost() || hc.PidMode.IsHost()) {
		hc.SecurityOpt = append(hc.SecurityOpt, "label=disable")
	}
}
