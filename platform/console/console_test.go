package console

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestFile: a guest that shouts does not fill the disk, and its last words are kept.
func TestFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "console")
	b, err := create(path, 8)
	if err != nil {
		t.Fatal(err)
	}
	for _, line := range []string{"first\n", "second\n", "third\n", "fourth\n"} {
		if _, err := b.Write([]byte(line)); err != nil {
			t.Fatal(err)
		}
	}
	b.Close()
	got, _ := os.ReadFile(path)
	if !strings.HasSuffix(string(got), "third\nfourth\n") || len(got) > 16 {
		t.Errorf("the file holds %q", got)
	}
}
