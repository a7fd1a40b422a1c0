package container

import (
	"maps"
	"testing"
	"time"

	"github.com/moby/moby/api/types/container"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"naru/guest/logfile"
)

func TestDefaultLog(t *testing.T) {
	if _, err := DefaultLog("local", map[string]string{"max-size": "x"}); err == nil {
		t.Error("a wrong setting is taken")
	}
	lc, err := DefaultLog("local", map[string]string{"max-size": "1m", "max-file": "2"})
	if err != nil {
		t.Fatal(err)
	}
	m := &Manager{Options: Options{LogConfig: lc}}
	for _, c := range []struct {
		have container.LogConfig
		kind string
		want map[string]string
	}{
		{container.LogConfig{}, "local", map[string]string{"max-size": "1m", "max-file": "2"}},
		{container.LogConfig{Type: "local", Config: map[string]string{"max-size": "5m"}}, "local", map[string]string{"max-size": "5m", "max-file": "2"}},
		{container.LogConfig{Type: "json-file"}, "json-file", map[string]string{}},
	} {
		got := c.have
		m.defaultLog(&got)
		if got.Type != c.kind || !maps.Equal(got.Config, c.want) || got.Config == nil {
			t.Errorf("%v becomes %v", c.have, got)
		}
	}
	got := container.LogConfig{}
	(&Manager{}).defaultLog(&got)
	if got.Type != "json-file" || got.Config == nil {
		t.Errorf("without settings: %v", got)
	}
}

func TestLogSizes(t *testing.T) {
	type options = map[string]string
	for _, c := range []struct {
		kind string
		o    options
		want logfile.Config
		err  string
	}{
		{"json-file", nil, logfile.Config{MaxFiles: 1}, ""},
		{"json-file", options{"max-size": "10m", "max-file": "3", "compress": "true"}, logfile.Config{MaxSize: 10_000_000, MaxFiles: 3, Compress: true}, ""},
		{"json-file", options{"mode": "non-blocking"}, logfile.Config{MaxFiles: 1, Buffer: 1_000_000}, ""},
		{"json-file", options{"mode": "non-blocking", "max-buffer-size": "4k"}, logfile.Config{MaxFiles: 1, Buffer: 4096}, ""},
		{"json-file", options{"max-size": "0"}, logfile.Config{}, "max-size must be a positive number"},
		{"json-file", options{"max-file": "0"}, logfile.Config{}, "max-file cannot be less than 1"},
		{"json-file", options{"max-file": "x"}, logfile.Config{}, `strconv.Atoi: parsing "x": invalid syntax`},
		{"json-file", options{"labels-regex": "["}, logfile.Config{}, "error parsing regexp: missing closing ]: `[`"},
		{"local", nil, logfile.Config{Compact: true, MaxSize: 20 << 20, MaxFiles: 5, Compress: true}, ""},
		{"local", options{"max-file": "1"}, logfile.Config{}, "compression cannot be enabled when max file count is 1"},
		{"local", options{"max-file": "1", "compress": "0"}, logfile.Config{Compact: true, MaxSize: 20 << 20, MaxFiles: 1}, ""},
		{"local", options{"max-size": "x"}, logfile.Config{}, "invalid value for max-size: x: invalid size: 'x'"},
		{"local", options{"compress": "x"}, logfile.Config{}, `invalid boolean value for compress: strconv.ParseBool: parsing "x": invalid syntax`},
	} {
		lc := &container.LogConfig{Type: c.kind, Config: c.o}
		if err := checkLog(lc); err != nil || c.err != "" {
			if err == nil || err.Error() != c.err {
				t.Errorf("%s %v: %v, want %q", c.kind, c.o, err, c.err)
			}
			continue
		}
		got, err := logSizes(lc)
		got.Attrs = nil
		if err != nil || got.MaxSize != c.want.MaxSize || got.MaxFiles != c.want.MaxFiles || got.Compress != c.want.Compress || got.Compact != c.want.Compact || got.Buffer != c.want.Buffer {
			t.Errorf("%s %v: %+v, %v", c.kind, c.o, got, err)
		}
	}
}

func TestLogAttrs(t *testing.T) {
	r := &record{
		ID: "0123456789abcdef0123456789abcdef", Name: "web", ImageID: "sha256:fedcba9876543210", Created: time.Now(), Platform: ocispec.Platform{},
		Config: &container.Config{Image: "img", Cmd: []string{"run", "x"}, Env: []string{"A=1", "B=2"}, Labels: map[string]string{"l": "v", "other": "w"}},
		HostConfig: &container.HostConfig{LogConfig: container.LogConfig{Config: map[string]string{
			"labels": "l,none", "env-regex": "^B", "tag": `{{.ID}} {{.Name}} {{.ImageID}} {{.ImageFullID}} {{.Command}} {{index .ContainerLabels "l"}} {{json .ContainerArgs}}`,
		}}},
	}
	got, err := logAttrs(r)
	want := map[string]string{"l": "v", "B": "2", "tag": `0123456789ab web fedcba987654 sha256:fedcba9876543210 run x v ["x"]`}
	if err != nil || !maps.Equal(got, want) {
		t.Errorf("got %v, %v", got, err)
	}
}
