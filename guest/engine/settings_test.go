package engine

import (
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"naru/guest/api"
	"naru/guest/runtime"
)

func TestParseRemap(t *testing.T) {
	for wish, want := range map[string]string{
		"":                            "<nil>",
		"default":                     "u-0.1879048192.65536g-0.1879048192.65536",
		"300000-365535":               "u-0.300000.65536g-0.300000.65536",
		"300000-365535:400000-400999": "u-0.300000.65536g-0.400000.1000",
		"default:400000-400999":       "u-0.1879048192.65536g-0.400000.1000",
		"0-65535":                     "must not be root of the host",
		"5-4":                         "bad range",
		"1-4294967295":                "bad range",
		"1-4294967296":                "no ranges of 1-4294967296",
		"nosuchuser":                  "no ranges of nosuchuser in",
		"1000:":                       "no ranges of",
	} {
		m, err := ParseRemap(wish)
		got := name(m)
		if err != nil {
			got = err.Error()
		}
		if !strings.Contains(got, want) && !(err != nil && os.IsNotExist(err)) && !strings.Contains(got, "no such file") {
			t.Errorf("%q: %s, want %s", wish, got, want)
		}
	}
}

func name(m *runtime.IDMap) string {
	if m == nil {
		return "<nil>"
	}
	return m.String()
}

func TestSubordinate(t *testing.T) {
	file := filepath.Join(t.TempDir(), "subuid")
	if err := os.WriteFile(file, []byte("a:100000:10\nb:200000:65536\na:300000:5\nbad:x:1\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	got, err := subordinate("a", file)
	if err != nil || len(got) != 2 || got[1] != (runtime.IDRange{Container: 10, Host: 300000, Size: 5}) {
		t.Errorf("%v %v", got, err)
	}
	if _, err := subordinate("bad", file); err == nil {
		t.Error("a bad line is accepted")
	}
}

// What the first engine of a keeper has read counts for those after it.
func TestLoadSettings(t *testing.T) {
	root, run := t.TempDir(), t.TempDir()
	write := func(text string) {
		if err := os.WriteFile(filepath.Join(root, settingsFile), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write(`{"userns-remap": "default"}`)
	want := api.EngineSettings{UsernsRemap: "default"}
	got, err := LoadSettings(root, run)
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("%+v, %v", got, err)
	}
	write(`{}`) // until they were found right and kept, the file counts
	if got, err := LoadSettings(root, run); err != nil || !reflect.DeepEqual(got, api.EngineSettings{}) {
		t.Errorf("%+v, %v", got, err)
	}
	if err := KeepSettings(run, want); err != nil {
		t.Fatal(err)
	}
	if got, err := LoadSettings(root, run); err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("kept: %+v, %v", got, err)
	}
	write(`{"userns-remapp": "default"}`)
	if _, err := LoadSettings(root, t.TempDir()); err == nil || !strings.Contains(err.Error(), "userns-remapp") {
		t.Errorf("unknown key: %v", err)
	}
	if got, err := LoadSettings(t.TempDir(), t.TempDir()); err != nil || !reflect.DeepEqual(got, api.EngineSettings{}) {
		t.Errorf("no file: %+v, %v", got, err)
	}
}
