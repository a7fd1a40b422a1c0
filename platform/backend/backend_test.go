package backend

import (
	"context"
	"strings"
	"testing"

	"naru/platform"
	"naru/platform/platformtest"
)

func TestChoose(t *testing.T) {
	broken := &platformtest.Fake{Called: "broken", Report: platform.Report{Reason: "its hardware is missing"}}
	good := &platformtest.Fake{Called: "good", Report: platform.Report{Usable: true, Accel: "fast"}}
	for _, tt := range []struct {
		want, name, err string
	}{
		{"", "good", ""},
		{"good", "good", ""},
		{"broken", "", "its hardware is missing"},
		{"other", "", `no backend is named "other"; there is broken, good`},
	} {
		b, report, err := choose(context.Background(), []platform.Backend{broken, good}, tt.want, "amd64")
		switch {
		case tt.err != "":
			if err == nil || !strings.Contains(err.Error(), tt.err) {
				t.Errorf("choose %q: error %v, want %s", tt.want, err, tt.err)
			}
		case err != nil:
			t.Errorf("choose %q: %v", tt.want, err)
		case b.Name() != tt.name || report.Accel != "fast":
			t.Errorf("choose %q: %s, %+v", tt.want, b.Name(), report)
		}
	}
}
