package cli

import (
	"bytes"
	"testing"
)

// TestStampedResumes: entries that come again after a reconnection are left out, as many of one time as were shown.
func TestStampedResumes(t *testing.T) {
	var out bytes.Buffer
	place := &logPlace{}
	w := &stamped{place: place, to: &out}
	write := func(entries ...string) {
		for _, e := range entries {
			if n, err := w.Write([]byte(e)); n != len(e) || err != nil {
				t.Fatal(n, err)
			}
		}
	}
	write("2026-01-02T03:04:05.000000001Z a\n", "2026-01-02T03:04:05.000000002Z b\n", "2026-01-02T03:04:05.000000002Z c\n")
	if got := place.since(); got != "1767323045.000000002" {
		t.Errorf("since %s", got)
	}
	place.resume()
	write("2026-01-02T03:04:05.000000002Z b\n", "2026-01-02T03:04:05.000000002Z c\n", "2026-01-02T03:04:05.000000002Z d\n", "2026-01-02T03:04:06.000000000Z e\n")
	place.resume()
	write("2026-01-02T03:04:06.000000000Z e\n", "2026-01-02T03:04:06.000000003Z f g\n")
	if out.String() != "a\nb\nc\nd\ne\nf g\n" {
		t.Errorf("got %q", &out)
	}
}
