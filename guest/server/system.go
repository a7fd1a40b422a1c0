package server

import (
	"io"
	"net/http"
	"runtime"

	"github.com/moby/moby/api/types/system"

	"naru/guest/engine"
	"naru/guest/engine/facts"
)

// systemRoutes serves what is about the engine as a whole.
func systemRoutes(e *engine.Engine) []route {
	h := systemHandlers{e, &usages{e: e}}
	return []route{
		{"GET", "/_ping", h.ping},
		{"HEAD", "/_ping", h.ping},
		{"GET", "/version", h.version},
		{"GET", "/info", h.info},
		{"GET", "/system/df", h.diskUsage},
		{"POST", "/auth", h.auth},
	}
}

type systemHandlers struct {
	e      *engine.Engine
	usages *usages
}

// ping names the builder that clients shall take: BuildKit.
func (h systemHandlers) ping(w http.ResponseWriter, r *http.Request, _ map[string]string) error {
	head := w.Header()
	head.Set("Docker-Experimental", "false")
	head.Set("Builder-Version", "2")
	head.Set("Swarm", "inactive")
	head.Set("Cache-Control", "no-cache, no-store, must-revalidate")
	head.Set("Pragma", "no-cache")
	head.Set("Content-Type", "text/plain; charset=utf-8")
	if r.Method == http.MethodHead {
		head.Set("Content-Length", "0")
		return nil
	}
	head.Set("Content-Length", "2")
	_, _ = io.WriteString(w, "OK")
	return nil
}

func (h systemHandlers) version(w http.ResponseWriter, r *http.Request, _ map[string]string) error {
	kernel := facts.Kernel()
	v := system.VersionResponse{
		Platform: system.PlatformInfo{Name: "naru"}, Version: h.e.Version, APIVersion: MaxAPIVersion, MinAPIVersion: MinAPIVersion,
		Os: "linux", Arch: runtime.GOARCH, GoVersion: runtime.Version(), KernelVersion: kernel,
	}
	v.Components = []system.ComponentVersion{{
		Name: "Engine", Version: h.e.Version,
		Details: map[string]string{
			"ApiVersion": MaxAPIVersion, "MinAPIVersion": MinAPIVersion, "Os": "linux", "Arch": runtime.GOARCH,
			"GoVersion": runtime.Version(), "KernelVersion": kernel, "Experimental": "false",
		},
	}}
	crun := h.e.Programs.Runtime(r.Context(), h.e.Crun)
	v.Components = append(v.Components, component("crun", crun))
	if h.e.InitPath != "" {
		v.Components = append(v.Components, component("naru-init", h.e.Programs.Init(r.Context(), h.e.InitPath)))
	}
	return writeJSON(w, http.StatusOK, v)
}

func component(name string, p facts.Program) system.ComponentVersion {
	return system.ComponentVersion{Name: name, Version: orUnknown(p.Version), Details: map[string]string{"GitCommit": p.Commit}}
}

func orUnknown(s string) string {
	if s == "" {
		return "N/A"
	}
	return s
}
