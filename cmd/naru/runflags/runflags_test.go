package runflags

import (
	"fmt"
	"strings"
	"testing"

	"github.com/spf13/pflag"
)

func TestPorts(t *testing.T) {
	for in, want := range map[string]string{
		"80":                       "80/tcp:[{invalid IP }]",
		"8080:80":                  "80/tcp:[{invalid IP 8080}]",
		"127.0.0.1:8080:80/udp":    "80/udp:[{127.0.0.1 8080}]",
		"127.0.0.1::80":            "80/tcp:[{127.0.0.1 }]",
		"[::1]:8080:80":            "80/tcp:[{::1 8080}]",
		"::1:8080:80":              "80/tcp:[{::1 8080}]",
		"8000-8001:80-81/TCP":      "80/tcp:[{invalid IP 8000}] 81/tcp:[{invalid IP 8001}]",
		"8000-8010:80":             "80/tcp:[{invalid IP 8000-8010}]",
		"target=80,published=8080": "80/tcp:[{invalid IP 8080}]",
		"target=80,protocol=udp":   "80/udp:[{invalid IP }]",
		"":                         "error",
		"80:":                      "error",
		"x:80":                     "error",
		"80/foo":                   "error",
		"70000":                    "error",
		"1.2.3:80:80":              "error",
		"9-8":                      "error",
		"published=80":             "error",
		"target=80,mode=x":         "error",
		"1-3:5-6":                  "error",
	} {
		_, bindings, err := parsePorts([]string{in}, nil)
		got := strings.TrimSuffix(strings.TrimPrefix(fmt.Sprint(bindings), "map["), "]")
		if err != nil {
			got = "error"
		}
		if got != want {
			t.Errorf("-p %q: %s (%v), want %s", in, got, err, want)
		}
	}
}

func TestVolumes(t *testing.T) {
	for in, want := range map[string]string{
		"/a:/b:ro": "[/a:/b:ro] map[]", "name:/b": "[name:/b] map[]", "/b": "[] map[/b:{}]", `C:\x:/b`: `[C:\x:/b] map[]`, "c:/b": "[c:/b] map[]",
		":": "error", "": "error",
	} {
		binds, anonymous, err := splitVolumes([]string{in})
		got := fmt.Sprint(binds, anonymous)
		if err != nil {
			got = "error"
		}
		if got != strings.Replace(want, "] map", "] map", 1) {
			t.Errorf("-v %q: %s (%v), want %s", in, got, err, want)
		}
	}
}

// TestDefaultsAreSilent: a pointer tells the engine that the user said something, so none is set by itself.
func TestDefaultsAreSilent(t *testing.T) {
	r, err := Add(pflag.NewFlagSet("", pflag.ContinueOnError)).Parse("img", nil)
	if err != nil {
		t.Fatal(err)
	}
	h := r.HostConfig
	if h.Init != nil || h.PidsLimit != nil || h.OomKillDisable != nil || h.MemorySwappiness != nil || r.Config.StopTimeout != nil {
		t.Errorf("set without being asked: %+v", h)
	}
	f := pflag.NewFlagSet("", pflag.ContinueOnError)
	o := Add(f)
	if err := f.Parse([]string{"--init=false", "--stop-timeout=0", "--entrypoint=", "--security-opt=systempaths=unconfined"}); err != nil {
		t.Fatal(err)
	}
	if r, err = o.Parse("img", nil); err != nil {
		t.Fatal(err)
	}
	h = r.HostConfig
	if h.Init == nil || *h.Init || r.Config.StopTimeout == nil || len(r.Config.Entrypoint) != 1 || h.MaskedPaths == nil {
		t.Errorf("not said: %+v %+v", r.Config, h)
	}
}
